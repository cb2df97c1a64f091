import {
  type DescMessage,
  type DescMethod,
  type DescService,
  fromBinary,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import {
  type CallOptions,
  Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  credentials,
  type ServiceError,
} from "@grpc/grpc-js";
import { decoderOf } from "../../../src/api/gateway/decode.ts";
import { encoderOf } from "../../../src/api/gateway/encode.ts";
import { firstValue } from "../../../src/api/gateway/json.ts";
import { gatewayPaths } from "../../../src/api/gateway/paths.ts";
import { Auth } from "../../../src/etcd/gen/auth_pb.ts";
import { Cluster } from "../../../src/etcd/gen/cluster_pb.ts";
import { Election } from "../../../src/etcd/gen/election_pb.ts";
import { KV } from "../../../src/etcd/gen/kv_pb.ts";
import { Lease } from "../../../src/etcd/gen/lease_pb.ts";
import { Lock } from "../../../src/etcd/gen/lock_pb.ts";
import { Maintenance } from "../../../src/etcd/gen/maintenance_pb.ts";
import { Watch } from "../../../src/etcd/gen/watch_pb.ts";
import type { Json } from "./steps.ts";

/** An answer: HTTP's status or gRPC's code, and the body. An error's body has `message` and `code`. */
export interface Reply {
  readonly status: number;
  readonly body: Json;
}

/** A stream that is open. What arrived is kept. */
export interface OpenStream {
  readonly messages: Json[];
  send(document: Json): void;
  close(): void;
}

/** One protocol to one server. */
export interface Face {
  call(path: string, body: Json): Promise<Reply>;
  /** Absent where there is no JSON. */
  raw?(path: string, text: string): Promise<Reply>;
  open(path: string, documents: readonly Json[]): OpenStream;
  close(): void;
}

const requestMs = 10_000;

export class GatewayFace implements Face {
  readonly #url: string;

  constructor(endpoint: string) {
    this.#url = `http://${endpoint}`;
  }

  call(path: string, body: Json): Promise<Reply> {
    return this.raw(path, JSON.stringify(body));
  }

  async raw(path: string, text: string): Promise<Reply> {
    const response = await fetch(this.#url + path, {
      method: "POST",
      body: text,
      signal: AbortSignal.timeout(requestMs),
    });
    const lines = (await response.text()).split("\n").filter((line) => line !== "");
    const documents = lines.map(parsed);
    return { status: response.status, body: documents.length === 1 ? (documents[0] ?? null) : documents };
  }

  open(path: string, documents: readonly Json[]): OpenStream {
    const messages: Json[] = [];
    const ending = new AbortController();
    const body = documents.map((document) => JSON.stringify(document)).join("\n");
    const run = async (): Promise<void> => {
      const response = await fetch(this.#url + path, { method: "POST", body, signal: ending.signal });
      const decoder = new TextDecoder();
      let rest = "";
      for await (const chunk of response.body ?? []) {
        const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) messages.push(resultOf(parsed(line)));
      }
      if (rest !== "") messages.push(parsed(rest));
    };
    run().catch((error: unknown) => {
      if (!ending.signal.aborted) messages.push({ broken: String(error) });
    });
    return { messages, send() {}, close: () => ending.abort() };
  }

  close(): void {}
}

function parsed(text: string): Json {
  try {
    return JSON.parse(text);
  } catch {
    return { text };
  }
}

function resultOf(json: Json): Json {
  return typeof json === "object" && json !== null && "result" in json ? (json.result as Json) : json;
}

interface Method {
  readonly desc: DescMethod;
  readonly encode: (json: Json) => Buffer;
  readonly decode: (bytes: Buffer) => Json;
}

const services = {
  kv: KV,
  watch: Watch,
  lease: Lease,
  cluster: Cluster,
  maintenance: Maintenance,
  auth: Auth,
  lock: Lock,
  election: Election,
} satisfies Record<string, DescService>;

const methods = new Map<string, Method>();
for (const [path, service, name] of gatewayPaths) {
  const desc = (services[service] as DescService).method[name];
  if (desc !== undefined) methods.set(`/v3${path}`, methodOf(desc));
}

function methodOf(desc: DescMethod): Method {
  const read = decoderOf(desc.input);
  const write = encoderOf(desc.output);
  return {
    desc,
    encode: (json) => {
      const value = firstValue(JSON.stringify(json))?.value ?? null;
      return Buffer.from(toBinary(desc.input, read(value)));
    },
    decode: (bytes) =>
      JSON.parse(write(fromBinary(desc.output, new Uint8Array(bytes)) as MessageShape<DescMessage>)),
  };
}

export class GrpcFace implements Face {
  readonly #client: Client;

  constructor(endpoint: string) {
    this.#client = new Client(endpoint, credentials.createInsecure(), {
      "grpc.max_receive_message_length": -1,
      // Each has its connection: one server's is not taken for another's.
      "grpc.use_local_subchannel_pool": 1,
    });
  }

  call(path: string, body: Json): Promise<Reply> {
    const { desc, encode, decode } = methodAt(path);
    const name = `/${desc.parent.typeName}/${desc.name}`;
    const deadline = Date.now() + requestMs;
    if (desc.methodKind !== "unary") return this.#whole(path, body);
    return new Promise((resolve) => {
      const answer = (error: ServiceError | null, reply?: Json): void => {
        resolve(error === null ? { status: 0, body: reply ?? null } : failed(error));
      };
      this.#client.makeUnaryRequest(name, encode, decode, body, { deadline }, answer);
    });
  }

  /** A stream of which all is read. */
  #whole(path: string, body: Json): Promise<Reply> {
    const deadline = Date.now() + requestMs;
    return new Promise((resolve) => {
      const documents: Json[] = [];
      const [stream, requests] = this.#stream(path, body, { deadline });
      stream.on("data", (document: Json) => documents.push(document));
      stream.on("error", (error: ServiceError) => resolve(failed(error)));
      stream.on("end", () =>
        resolve({ status: 0, body: documents.length === 1 ? (documents[0] ?? null) : documents }),
      );
      requests?.write(body);
      requests?.end();
    });
  }

  open(path: string, documents: readonly Json[]): OpenStream {
    const messages: Json[] = [];
    let closed = false;
    const [stream, requests] = this.#stream(path, documents[0] ?? null, {});
    stream.on("data", (document: Json) => messages.push(document));
    stream.on("error", (error: ServiceError) => {
      if (!closed) messages.push({ broken: error.message });
    });
    for (const document of documents) requests?.write(document);
    const close = (): void => {
      closed = true;
      stream.cancel();
    };
    return { messages, send: (document) => requests?.write(document), close };
  }

  /** The answers, and the requests where there can be many. */
  #stream(
    path: string,
    first: Json,
    options: CallOptions,
  ): readonly [ClientReadableStream<Json>, ClientDuplexStream<Json, Json> | undefined] {
    const { desc, encode, decode } = methodAt(path);
    const name = `/${desc.parent.typeName}/${desc.name}`;
    if (desc.methodKind === "server_streaming") {
      return [this.#client.makeServerStreamRequest(name, encode, decode, first, options), undefined];
    }
    const stream = this.#client.makeBidiStreamRequest(name, encode, decode, options);
    return [stream, stream];
  }

  close(): void {
    this.#client.close();
  }
}

function methodAt(path: string): Method {
  const method = methods.get(path);
  if (method === undefined) throw new Error(`${path} is no path of a method`);
  return method;
}

function failed({ code, details }: ServiceError): Reply {
  return { status: code, body: { message: details, code } };
}
