import { grpcFrame, message } from "./protobuf.ts";
import type { Face, Operation, WireRequest } from "./types.ts";

const encoder = new TextEncoder();
const nothing = new Uint8Array(0);

function coracleRequest(operation: Operation, key: string, value: string): WireRequest {
  const path = `/v1/kv/${key}`;
  return operation === "put"
    ? { method: "PUT", path, headers: {}, body: encoder.encode(value) }
    : { method: "GET", path, headers: {}, body: nothing };
}

function gatewayRequest(operation: Operation, key: string, value: string): WireRequest {
  const body = operation === "put" ? { key: btoa(key), value: btoa(value) } : { key: btoa(key) };
  return {
    method: "POST",
    path: operation === "put" ? "/v3/kv/put" : "/v3/kv/range",
    headers: { "Content-Type": "application/json" },
    body: encoder.encode(JSON.stringify(body)),
  };
}

/** `PutRequest` is {1: key, 2: value}; `RangeRequest` of one key is {1: key}, linearizable by default. */
function grpcRequest(operation: Operation, key: string, value: string): WireRequest {
  const payload =
    operation === "put"
      ? message({ 1: encoder.encode(key), 2: encoder.encode(value) })
      : message({ 1: encoder.encode(key) });
  return {
    method: "POST",
    path: operation === "put" ? "/etcdserverpb.KV/Put" : "/etcdserverpb.KV/Range",
    headers: { "content-type": "application/grpc", te: "trailers" },
    body: grpcFrame(payload),
  };
}

/**
 * Who is measured, and how. A ratio is only made between faces of one tool: `wrk` varies the keys
 * by a script, `h2load` sends one fixed body, so one fixed key to all, and is the only one that speaks gRPC.
 */
export const faces = {
  coracleWrk: {
    name: "coracle /v1/kv",
    system: "coracle",
    tool: "wrk",
    protocol: "http/1.1",
    variedKeys: true,
    request: coracleRequest,
  },
  gatewayWrk: {
    name: "etcd gateway",
    system: "etcd",
    tool: "wrk",
    protocol: "http/1.1",
    variedKeys: true,
    request: gatewayRequest,
  },
  coracleH2load: {
    name: "coracle /v1/kv",
    system: "coracle",
    tool: "h2load",
    protocol: "http/1.1",
    variedKeys: false,
    request: coracleRequest,
  },
  gatewayH2load: {
    name: "etcd gateway",
    system: "etcd",
    tool: "h2load",
    protocol: "http/1.1",
    variedKeys: false,
    request: gatewayRequest,
  },
  grpcH2load: {
    name: "etcd gRPC",
    system: "etcd",
    tool: "h2load",
    protocol: "grpc",
    variedKeys: false,
    request: grpcRequest,
  },
} as const satisfies Record<string, Face>;

/** coracle's face against the etcd face that is measured with the same tool. */
export const comparisons: readonly { readonly ours: Face; readonly theirs: Face }[] = [
  { ours: faces.coracleWrk, theirs: faces.gatewayWrk },
  { ours: faces.coracleH2load, theirs: faces.gatewayH2load },
  { ours: faces.coracleH2load, theirs: faces.grpcH2load },
];
