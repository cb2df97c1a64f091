import { keyPrefix } from "./faces.ts";
import { firstValue, grpcProbe } from "./grpc-probe.ts";
import { runLoad } from "./load.ts";
import { cpuSeconds, type Memory, memory, settle } from "./proc.ts";
import type { Face, LoadResult, Operation, System, WireRequest } from "./types.ts";

/** One cell of the table, once. */
export interface Measurement extends LoadResult {
  readonly face: Face;
  readonly operation: Operation;
  readonly inFlight: number;
  readonly perSecond: number;
  /** CPU of all members together, in microseconds an answered request. */
  readonly cpuMicroseconds: number;
  /** All members together, right after the load. */
  readonly memory: Memory;
}

export interface MeasureOptions {
  readonly system: System;
  readonly face: Face;
  readonly operation: Operation;
  readonly inFlight: number;
  readonly warmSeconds: number;
  readonly seconds: number;
  readonly keys: readonly string[];
  readonly value: string;
  readonly folder: string;
}

/** Operations each of which raises the revision by one. */
const writes: ReadonlySet<Operation> = new Set(["put", "put-16k", "txn"]);

/**
 * What an answer that holds the values has at least. A failed gRPC call has status 200 and an empty
 * body, so this is what tells it from a good one.
 */
const answerBytesMin: Readonly<Partial<Record<Operation, number>>> & { readonly range: number } = {
  get: 256,
  "get-serializable": 256,
  range: 1000 * 256,
  // Nine of ten are gets.
  mix: 0.85 * 256,
};

/**
 * Warms up, measures, and proves that what was answered was done: no request may have failed, the
 * leader stays the same, and the store's revision rose by the number of answered puts (a load tool
 * that stops leaves at most one put a connection that was applied and whose answer it did not wait for).
 */
export async function measure(options: MeasureOptions): Promise<Measurement> {
  const { system, face, operation, inFlight } = options;
  const target = (await system.leader())[face.protocol];
  const load = { ...options, target };
  if (options.warmSeconds > 0) await runLoad({ ...load, seconds: options.warmSeconds });
  await settle(system.pids);
  const revisionBefore = await system.revision();
  const cpuBefore = cpuSeconds(system.pids);
  const result = await runLoad(load);
  const cpu = cpuSeconds(system.pids) - cpuBefore;
  const memoryAfter = memory(system.pids);
  await settle(system.pids);
  const applied = (await system.revision()) - revisionBefore;
  const what = `${face.name} (${face.tool}) ${operation} at ${inFlight}`;
  const expected = writes.has(operation) ? result.answered : 0;
  const surplus = writes.has(operation) ? inFlight : 0;
  if (operation !== "mix" && (applied < expected || applied > expected + surplus))
    throw new Error(`${what}: ${result.answered} requests answered, but the revision rose by ${applied}`);
  if (result.failed > 0) throw new Error(`${what}: ${result.failed} requests failed`);
  if (result.answered === 0) throw new Error(`${what}: nothing was answered`);
  const bytes = result.bodyBytes / result.answered;
  if (bytes < (answerBytesMin[operation] ?? 0))
    throw new Error(`${what}: the answers had ${bytes.toFixed(0)} bytes on average: not what was to be read`);
  if ((await system.leader())[face.protocol] !== target)
    throw new Error(`${what}: the leader changed during the load; the machine is too busy for a measurement`);
  return {
    ...result,
    face,
    operation,
    inFlight,
    perSecond: result.answered / result.seconds,
    cpuMicroseconds: (cpu / result.answered) * 1e6,
    memory: memoryAfter,
  };
}

/**
 * Shows by decoded answers that the face's requests do what the load takes for granted: what was put
 * is read, and each operation is answered with success and with as many bytes as it has to read.
 */
export async function probe(system: System, face: Face, operations: readonly Operation[]): Promise<void> {
  const target = (await system.leader())[face.protocol];
  const key = `${keyPrefix}probe`;
  const value = `probe of ${face.name} with ${face.tool}`;
  const send = async (operation: Exclude<Operation, "mix">): Promise<Uint8Array> => {
    const request = face.request(operation, key, value);
    return face.protocol === "grpc" ? grpcProbe(target, request) : httpProbe(target, request);
  };
  await send("put");
  const answer = await send("get");
  const read = face.protocol === "grpc" ? firstValue(answer) : httpValue(new TextDecoder().decode(answer));
  if (read !== value) throw new Error(`${face.name}: put ${value}, but read ${read}`);
  for (const operation of operations) {
    // Its two operations are the two of above.
    if (operation === "mix") continue;
    const { length } = await send(operation);
    const least =
      operation === "range" ? answerBytesMin.range : operation.startsWith("get") ? value.length : 0;
    if (length < least) throw new Error(`${face.name}: ${operation} answered with ${length} bytes only`);
  }
}

async function httpProbe(target: string, request: WireRequest): Promise<Uint8Array> {
  const response = await fetch(`http://${target}${request.path}`, {
    method: request.method,
    headers: request.headers,
    ...(request.method === "GET" ? {} : { body: Buffer.from(request.body) }),
  });
  const body = new Uint8Array(await response.arrayBuffer());
  if (!response.ok)
    throw new Error(
      `${request.method} ${request.path}: ${response.status} ${new TextDecoder().decode(body)}`,
    );
  return body;
}

/** The gateway's answer is JSON, that of /v1 the value itself. */
function httpValue(answer: string): string | undefined {
  if (!answer.startsWith("{")) return answer;
  const document = JSON.parse(answer) as { kvs?: { value?: string }[] };
  return document.kvs?.[0]?.value === undefined ? undefined : atob(document.kvs[0].value);
}
