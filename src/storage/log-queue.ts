import { CoracleError } from "../base/errors.ts";
import type { HardState } from "../raft/types.ts";
import { startWorker, type WorkerLink } from "../runtime/worker.ts";
import { WriteGroup, type WriterReply, type WriterRequest } from "./log-protocol.ts";

export interface LogQueueOptions {
  readonly path: string;
  readonly markPath: string;
  readonly walBytesMax: number;
  readonly bytes: number;
  readonly observeFsyncMs: (ms: number) => void;
}

type Callback = (error?: Error) => void;

/** The main thread's end of the log-writer worker: one group of writes under way, one being collected. */
export class LogQueue {
  readonly #options: LogQueueOptions;
  readonly #worker: WorkerLink;
  #group = new WriteGroup();
  /** Callbacks of the group that the worker is writing. */
  #underway: Callback[] | undefined;
  #hardState: HardState | undefined;
  #bytes: number;
  #failure: Error | undefined;
  #closing: { done(): void; failed(error: Error): void } | undefined;

  constructor(options: LogQueueOptions) {
    this.#options = options;
    this.#bytes = options.bytes;
    this.#worker = startWorker("storage/log-writer.ts", {
      onMessage: (message) => this.#onReply(message as WriterReply),
      onError: (reason) => this.#fail(reason),
    });
    const { path, markPath, walBytesMax, bytes } = options;
    this.#send({ type: "open", path, markPath, walBytesMax, bytes });
  }

  /** Where the steps of the next write go, before `add`. */
  get group(): WriteGroup {
    return this.#group;
  }

  /** Bytes of entry data on disk, as of the last report. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Ends the steps of one write. Without `urgent` they wait for the next write that has it; the
   * callback then comes when everything before it is durable.
   */
  add(hardState: HardState, urgent: boolean, stored: Callback): void {
    if (this.#failure !== undefined || this.#closing !== undefined) {
      const error = this.#failure ?? new CoracleError("shutting_down", "The log is closed.");
      setImmediate(() => stored(error));
      return;
    }
    this.#hardState = hardState;
    if (urgent) this.#group.urgent = true;
    if (this.#group.urgent) this.#group.callbacks.push(stored);
    else if (this.#underway !== undefined) this.#underway.push(stored);
    else setImmediate(() => stored(this.#failure));
    this.#flush();
  }

  /** Writes what waits, empties the write-ahead log and ends the worker. */
  close(): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = () => {
        this.#worker.terminate();
        resolve();
      };
      if (this.#failure !== undefined) {
        end();
        return;
      }
      this.#group.urgent = this.#hardState !== undefined;
      this.#flush();
      this.#closing = { done: end, failed: reject };
      if (this.#underway === undefined) this.#send({ type: "close" });
    });
  }

  #flush(): void {
    if (this.#underway !== undefined || !this.#group.urgent || this.#hardState === undefined) return;
    const group = this.#group;
    this.#group = new WriteGroup();
    this.#underway = group.callbacks;
    const message = group.pack(this.#hardState);
    this.#hardState = undefined;
    this.#worker.post(message, [message.operations.buffer, message.data.buffer]);
  }

  #send(message: WriterRequest): void {
    this.#worker.post(message);
  }

  #onReply(reply: WriterReply): void {
    switch (reply.type) {
      case "stored": {
        this.#bytes = reply.bytes;
        const callbacks = this.#underway ?? [];
        this.#underway = undefined;
        // The worker first: it writes while the callbacks run.
        this.#flush();
        if (this.#closing !== undefined && this.#underway === undefined) this.#send({ type: "close" });
        this.#options.observeFsyncMs(reply.syncMs);
        for (const stored of callbacks) stored();
        break;
      }
      case "failed":
        this.#fail(reply.message);
        break;
      case "closed":
        this.#closing?.done();
        break;
    }
  }

  #fail(reason: string): void {
    if (this.#failure !== undefined) return;
    const { path } = this.#options;
    const error = new CoracleError(
      "storage_failed",
      `Writing ${path} failed (${reason}); the member must stop.`,
    );
    this.#failure = error;
    const callbacks = [...(this.#underway ?? []), ...this.#group.callbacks];
    this.#underway = undefined;
    this.#group = new WriteGroup();
    this.#worker.terminate();
    for (const stored of callbacks) stored(error);
    this.#closing?.failed(error);
  }
}
