import { clearTimeout, setTimeout } from "node:timers";
import { CoracleError } from "../base/errors.ts";
import { startWorker, type WorkerLink } from "../runtime/worker.ts";
import type { StateCall, StateReply, StateRequest, StateResults } from "./state-protocol.ts";

/** The worker ends after so long without work: an idle member needs no memory for it. */
const idleMs = 20_000;

interface Waiting {
  resolve(result: StateResults[StateRequest["type"]]): void;
  reject(error: Error): void;
}

/** Calls to the state worker, which is started when it is needed. */
export class StateCalls {
  #worker: WorkerLink | undefined;
  #nextId = 1;
  readonly #waiting = new Map<number, Waiting>();
  #idle: ReturnType<typeof setTimeout> | undefined;

  /** @throws (rejects) CoracleError `storage_failed` with the reason. */
  async call<T extends StateRequest>(request: T): Promise<StateResults[T["type"]]> {
    clearTimeout(this.#idle);
    const id = this.#nextId++;
    const message: StateCall = { id, request };
    try {
      const result = await new Promise((resolve, reject) => {
        this.#waiting.set(id, { resolve, reject });
        this.#started().post(message);
      });
      return result as StateResults[T["type"]];
    } finally {
      this.#restAfterWork();
    }
  }

  /** Closes the worker's connection to state.db, and ends it. */
  async close(): Promise<void> {
    if (this.#worker !== undefined) await this.call({ type: "close" });
    if (this.#waiting.size > 0) return;
    clearTimeout(this.#idle);
    this.#worker?.terminate();
    this.#worker = undefined;
  }

  #started(): WorkerLink {
    this.#worker ??= startWorker("storage/state-worker.ts", {
      onMessage: (message) => this.#onReply(message as StateReply),
      onError: (reason) => this.#onError(reason),
    });
    return this.#worker;
  }

  #onReply(reply: StateReply): void {
    const waiting = this.#waiting.get(reply.id);
    this.#waiting.delete(reply.id);
    if ("error" in reply) waiting?.reject(new CoracleError("storage_failed", reply.error));
    else waiting?.resolve(reply.result);
  }

  /** The worker is lost; the next call starts another. */
  #onError(reason: string): void {
    this.#worker?.terminate();
    this.#worker = undefined;
    const error = new CoracleError("storage_failed", `The state worker failed: ${reason}`);
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }

  #restAfterWork(): void {
    clearTimeout(this.#idle);
    if (this.#waiting.size > 0 || this.#worker === undefined) return;
    this.#idle = setTimeout(() => void this.close().catch(() => undefined), idleMs);
    this.#idle.unref();
  }
}
