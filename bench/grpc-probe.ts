import { connect } from "node:http2";
import { decodeFields } from "./protobuf.ts";
import type { WireRequest } from "./types.ts";

/**
 * Sends one gRPC request as the load tool does and gives the answer's message. HTTP status 200 says
 * nothing in gRPC, and load tools do not read trailers: this shows that the body they send is right.
 *
 * @throws Error when `grpc-status` is not 0.
 */
export function grpcProbe(target: string, request: WireRequest): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const session = connect(`http://${target}`);
    session.once("error", reject);
    const stream = session.request({
      ":method": "POST",
      ":path": request.path,
      ...request.headers,
    });
    const chunks: Buffer[] = [];
    let status = "";
    const readStatus = (headers: Record<string, unknown>): void => {
      if (headers["grpc-status"] !== undefined) status = String(headers["grpc-status"]);
    };
    stream.on("response", readStatus);
    stream.on("trailers", readStatus);
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.once("error", reject);
    stream.once("end", () => {
      session.close();
      if (status === "0") resolve(new Uint8Array(Buffer.concat(chunks).subarray(5)));
      else reject(new Error(`${request.path} of ${target} ended with grpc-status ${status || "missing"}`));
    });
    stream.end(request.body);
  });
}

/** The value of the first key in an etcd `RangeResponse` ({2: kvs}, `KeyValue` {5: value}). */
export function firstValue(rangeResponse: Uint8Array): string | undefined {
  const kv = decodeFields(rangeResponse).find((field) => field.number === 2)?.value;
  if (!(kv instanceof Uint8Array)) return undefined;
  const value = decodeFields(kv).find((field) => field.number === 5)?.value;
  return value instanceof Uint8Array ? new TextDecoder().decode(value) : undefined;
}
