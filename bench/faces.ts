import { grpcFrame, message } from "./protobuf.ts";
import type { Face, Operation, WireRequest } from "./types.ts";

type Single = Exclude<Operation, "mix">;

const encoder = new TextEncoder();
const nothing = new Uint8Array(0);
const text = (value: string): Uint8Array => encoder.encode(value);
/** The keys of the fill begin with this; `range` reads from its first one on. */
export const keyPrefix = "bench/";
const prefixEnd = "bench0";
const large = "coracle carries 16 KiB of it. ".repeat(547).slice(0, 16_384);

function coracleRequest(operation: Single, key: string, value: string): WireRequest {
  const path = `/v1/kv/${key}`;
  const get = (target: string): WireRequest => ({ method: "GET", path: target, headers: {}, body: nothing });
  switch (operation) {
    case "put":
      return { method: "PUT", path, headers: {}, body: text(value) };
    case "put-16k":
      return { method: "PUT", path, headers: {}, body: text(large) };
    case "get":
      return get(path);
    case "get-serializable":
      return get(`${path}?consistency=serializable`);
    case "range":
      return get(`/v1/kv?prefix=${keyPrefix}&limit=1000`);
    case "txn": {
      const transaction = {
        compare: [{ key, result: "greater", version: 0 }],
        success: [{ type: "put", key, value_base64: btoa(value) }],
      };
      const headers = { "Content-Type": "application/json" };
      return { method: "POST", path: "/v1/txn", headers, body: text(JSON.stringify(transaction)) };
    }
  }
}

/** The JSON gateway: the same requests to both systems. */
function gatewayRequest(operation: Single, key: string, value: string): WireRequest {
  const post = (path: string, body: object): WireRequest => ({
    method: "POST",
    path,
    headers: { "Content-Type": "application/json" },
    body: text(JSON.stringify(body)),
  });
  switch (operation) {
    case "put":
      return post("/v3/kv/put", { key: btoa(key), value: btoa(value) });
    case "put-16k":
      return post("/v3/kv/put", { key: btoa(key), value: btoa(large) });
    case "get":
      return post("/v3/kv/range", { key: btoa(key) });
    case "get-serializable":
      return post("/v3/kv/range", { key: btoa(key), serializable: true });
    case "range":
      return post("/v3/kv/range", { key: btoa(keyPrefix), range_end: btoa(prefixEnd), limit: 1000 });
    case "txn":
      return post("/v3/kv/txn", {
        compare: [{ key: btoa(key), target: "VERSION", result: "GREATER", version: 0 }],
        success: [{ request_put: { key: btoa(key), value: btoa(value) } }],
      });
  }
}

/** Field numbers as in etcd's rpc.proto. */
function grpcRequest(operation: Single, key: string, value: string): WireRequest {
  const call = (method: string, payload: Uint8Array): WireRequest => ({
    method: "POST",
    path: `/etcdserverpb.KV/${method}`,
    headers: { "content-type": "application/grpc", te: "trailers" },
    body: grpcFrame(payload),
  });
  const put = message({ 1: text(key), 2: text(operation === "put-16k" ? large : value) });
  switch (operation) {
    case "put":
    case "put-16k":
      return call("Put", put);
    case "get":
      return call("Range", message({ 1: text(key) }));
    case "get-serializable":
      return call("Range", message({ 1: text(key), 7: 1 }));
    case "range":
      return call("Range", message({ 1: text(keyPrefix), 2: text(prefixEnd), 3: 1000 }));
    case "txn": {
      // Compare {1: result GREATER, 2: target VERSION (0, left out), 3: key, 4: version 0}.
      const compare = message({ 1: 1, 3: text(key) });
      return call("Txn", message({ 1: compare, 2: message({ 2: put }) }));
    }
  }
}

const wrk = { tool: "wrk", protocol: "http/1.1", variedKeys: true } as const;
const h2load = { tool: "h2load", protocol: "http/1.1", variedKeys: false } as const;
const h2loadGrpc = { tool: "h2load", protocol: "grpc", variedKeys: false } as const;
const coracle = { name: "coracle /v1", system: "coracle", request: coracleRequest } as const;
const coracleGateway = { name: "coracle gateway", system: "coracle", request: gatewayRequest } as const;
/** It has the path of coracle's PUT, and no more. */
const prototype = { name: "prototype", system: "prototype", request: coracleRequest } as const;
const gateway = { name: "etcd gateway", system: "etcd", request: gatewayRequest } as const;

/**
 * Who is measured, and how. A ratio is only made between faces of one tool: `wrk` varies the keys
 * by a script, `h2load` sends one fixed body, so one fixed key to all, and is the only one that speaks gRPC.
 */
export const faces = {
  coracleWrk: { ...coracle, ...wrk },
  coracleGatewayWrk: { ...coracleGateway, ...wrk },
  gatewayWrk: { ...gateway, ...wrk },
  coracleH2load: { ...coracle, ...h2load },
  coracleGatewayH2load: { ...coracleGateway, ...h2load },
  gatewayH2load: { ...gateway, ...h2load },
  coracleGrpcH2load: { name: "coracle gRPC", system: "coracle", request: grpcRequest, ...h2loadGrpc },
  prototypeWrk: { ...prototype, ...wrk },
  prototypeH2load: { ...prototype, ...h2load },
  grpcH2load: { name: "etcd gRPC", system: "etcd", request: grpcRequest, ...h2loadGrpc },
} as const satisfies Record<string, Face>;

/** A face of coracle beside one of another system that is measured with the same tool. */
export interface Pair {
  readonly ours: Face;
  readonly theirs: Face;
}

export const pairs = {
  wrk: { ours: faces.coracleWrk, theirs: faces.gatewayWrk },
  wrkGateway: { ours: faces.coracleGatewayWrk, theirs: faces.gatewayWrk },
  gateway: { ours: faces.coracleH2load, theirs: faces.gatewayH2load },
  gatewayToGateway: { ours: faces.coracleGatewayH2load, theirs: faces.gatewayH2load },
  grpc: { ours: faces.coracleH2load, theirs: faces.grpcH2load },
  prototypeWrk: { ours: faces.coracleWrk, theirs: faces.prototypeWrk },
  prototype: { ours: faces.coracleH2load, theirs: faces.prototypeH2load },
  grpcToGrpc: { ours: faces.coracleGrpcH2load, theirs: faces.grpcH2load },
} as const satisfies Record<string, Pair>;
