import { getLogger } from "@logtape/logtape";
import { CoracleError } from "../base/errors.ts";
import type { HardState } from "../raft/types.ts";
import { startWorker, type WorkerLink } from "../runtime/worker.ts";
import { WriteGroup, type WriterReply, type WriterRequest } from "./log-protocol.ts";
import type { LogHealth } from "./types.ts";
import { WriteTimes } from "./write-times.ts";

const log = getLogger(["coracle", "storage"]);

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
  /** Why the group under way waits for room on the disk. */
  #full: string | undefined;
  readonly #times = new WriteTimes();
  /** Asked for with every batch of proposals: nothing is computed before it is looked at. */
  readonly #health: LogHealth;
  #closing: { done(): void; failed(error: Error): void } | undefined;

  constructor(options: LogQueueOptions) {
    this.#options = options;
    this.#bytes = options.bytes;
    const full = (): string | undefined => this.#full;
    const writeMs = (): number => this.#times.typicalMs(performance.now());
    this.#health = {
      get full() {
        return full();
      },
      get writeMs() {
        return writeMs();
      },
    };
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

  health(): LogHealth {
    return this.#health;
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
      if (this.#full !== undefined) this.#giveUp();
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
    this.#times.begin(performance.now());
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
        this.#times.end(performance.now(), reply.syncMs);
        if (this.#full !== undefined) this.#roomAgain();
        // The worker first: it writes while the callbacks run.
        this.#flush();
        if (this.#closing !== undefined && this.#underway === undefined) this.#send({ type: "close" });
        this.#options.observeFsyncMs(reply.syncMs);
        for (const stored of callbacks) stored();
        break;
      }
      case "full":
        this.#full = reply.message;
        log.error("No room on the disk for {path}: writes wait until there is. {reason}", {
          path: this.#options.path,
          reason: reply.message,
        });
        if (this.#closing === undefined) break;
        this.#giveUp();
        this.#closing.done();
        break;
      case "failed":
        this.#fail(reply.message);
        break;
      case "closed":
        this.#closing?.done();
        break;
    }
  }

  #roomAgain(): void {
    this.#full = undefined;
    log.info("There is room again: {path} is written.", { path: this.#options.path });
  }

  /** The log is closed while the disk is full: what waits is not stored, and nobody was told that it is. */
  #giveUp(): void {
    this.#end(new CoracleError("storage_failed", "The log was closed while its disk was full."));
  }

  #fail(reason: string): void {
    if (this.#failure !== undefined) return;
    const { path } = this.#options;
    const error = new CoracleError(
      "storage_failed",
      `Writing ${path} failed (${reason}); the member must stop.`,
    );
    this.#end(error);
    this.#closing?.failed(error);
  }

  #end(error: Error): void {
    this.#failure = error;
    const callbacks = [...(this.#underway ?? []), ...this.#group.callbacks];
    this.#underway = undefined;
    this.#group = new WriteGroup();
    this.#worker.terminate();
    for (const stored of callbacks) stored(error);
  }
}
