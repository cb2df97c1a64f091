/** What one request of a load does to the store. */
export type Operation =
  | "put"
  /** A put of 16 KiB. */
  | "put-16k"
  | "get"
  | "get-serializable"
  /** Nine linearizable gets and one put. */
  | "mix"
  /** The first 1,000 keys. */
  | "range"
  /** Compares a key's version, then puts it. */
  | "txn";

/** How a request of one face looks, so that either load tool can send it. */
export interface WireRequest {
  readonly method: "GET" | "PUT" | "POST";
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

/** `prototype` is the bare data path of a write, without consensus (prototype/member.ts). */
export type SystemName = "coracle" | "etcd" | "prototype";

/** One way to speak to one system with one load tool. A row of the table of results. */
export interface Face {
  readonly name: string;
  readonly system: SystemName;
  readonly tool: "wrk" | "h2load";
  /** HTTP/1.1 with one request in flight a connection, or gRPC on HTTP/2. */
  readonly protocol: "http/1.1" | "grpc";
  /** Whether every request names another of the filled keys; else all name the same. */
  readonly variedKeys: boolean;
  /** `mix` never comes here: the load makes it of puts and gets. */
  request(operation: Exclude<Operation, "mix">, key: string, value: string): WireRequest;
}

/** Three running members of one system. */
export interface System {
  readonly name: SystemName;
  readonly version: string;
  readonly pids: readonly number[];
  /** `host:port` of the leader, by protocol. */
  leader(): Promise<Readonly<Record<Face["protocol"], string>>>;
  /** The store-wide revision: every applied put raises it by one. */
  revision(): Promise<number>;
  /** Puts so many keys (fill.ts), so that every read of a load finds one. */
  fill(count: number): Promise<void>;
  stop(): Promise<void>;
}

export interface LoadOptions {
  readonly face: Face;
  readonly operation: Operation;
  /** `host:port`. */
  readonly target: string;
  /** Requests in flight: as many connections on HTTP/1.1, streams of one connection in gRPC. */
  readonly inFlight: number;
  readonly seconds: number;
  readonly keys: readonly string[];
  readonly value: string;
  /** For the tools' own files. */
  readonly folder: string;
}

export interface LoadResult {
  /** Requests answered with 2xx. */
  readonly answered: number;
  /** Requests answered otherwise, or not at all. */
  readonly failed: number;
  /** Of all answers together; wrk counts their headers in. */
  readonly bodyBytes: number;
  readonly seconds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
}
