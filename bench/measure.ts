import { firstValue, grpcProbe } from "./grpc-probe.ts";
import { runLoad } from "./load.ts";
import { cpuSeconds, type Memory, memory, settle } from "./proc.ts";
import type { Face, LoadResult, Operation, System } from "./types.ts";

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
 * Warms up, measures, and proves that what was answered was done: no request may have failed, the
 * leader stays the same, and the store's revision rose by the number of answered puts (a load tool
 * that stops leaves at most one put a connection that was applied and whose answer it did not wait for).
 */
export async function measure(options: MeasureOptions): Promise<Measurement> {
  const { system, face, operation, inFlight } = options;
  const target = (await system.leader())[face.protocol];
  const load = { ...options, target };
  await runLoad({ ...load, seconds: options.warmSeconds });
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

/** Writes every key once, so that every read of the load finds one. */
export async function fill(system: System, keys: readonly string[], value: string): Promise<void> {
  const before = await system.revision();
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < keys.length) await system.put(keys[next++] ?? "", value);
  };
  await Promise.all(Array.from({ length: 32 }, work));
  const applied = (await system.revision()) - before;
  if (applied !== keys.length)
    throw new Error(`${system.name}: ${keys.length} puts answered, but the revision rose by ${applied}`);
}

/** Shows by one decoded answer each that the face's put and get do what the load takes for granted. */
export async function probe(system: System, face: Face): Promise<void> {
  const target = (await system.leader())[face.protocol];
  const key = "bench/probe";
  const value = `probe of ${face.name} with ${face.tool}`;
  const put = face.request("put", key, value);
  const get = face.request("get", key, value);
  let read: string | undefined;
  if (face.protocol === "grpc") {
    await grpcProbe(target, put);
    read = firstValue(await grpcProbe(target, get));
  } else {
    await httpProbe(target, put);
    const answer = await httpProbe(target, get);
    read = answer.startsWith("{") ? gatewayValue(answer) : answer;
  }
  if (read !== value) throw new Error(`${face.name}: put ${value}, but read ${read}`);
}

async function httpProbe(target: string, request: ReturnType<Face["request"]>): Promise<string> {
  const response = await fetch(`http://${target}${request.path}`, {
    method: request.method,
    headers: request.headers,
    ...(request.method === "GET" ? {} : { body: Buffer.from(request.body) }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${request.method} ${request.path}: ${response.status} ${text}`);
  return text;
}

function gatewayValue(answer: string): string | undefined {
  const document = JSON.parse(answer) as { kvs?: { value?: string }[] };
  return document.kvs?.[0]?.value === undefined ? undefined : atob(document.kvs[0].value);
}
