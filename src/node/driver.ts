import { getLogger } from "@logtape/logtape";
import type { Timer } from "../base/clock.ts";
import type { Raft } from "../raft/raft.ts";
import type { Entry, Message, RaftEvent, Ready, SnapshotMeta, StepResult } from "../raft/types.ts";
import type { LogStore } from "../storage/types.ts";

const log = getLogger(["coracle", "node"]);

/** How long a commit index waits for company; under load the next entry leaves sooner. */
const newsDelayMs = 2;

/** What the driver hands on. None of these may call back into `pump`. */
export interface DriverHooks {
  send(message: Message): void;
  apply(entries: readonly Entry[]): void;
  readsReady(reads: Ready["reads"]): void;
  readsRefused(contexts: readonly number[]): void;
  snapshotsWanted(members: readonly number[]): void;
  /** Puts a received snapshot in place of the state. The log is reset after it resolves. */
  install(snapshot: SnapshotMeta): Promise<void>;
  after(delayMs: number, action: () => void): Timer;
  /** Something happened that `pump` should look at in this turn. */
  wake(): void;
  /** The member cannot go on. */
  fatal(error: unknown): void;
}

/**
 * Carries out what the Raft core asks for, in the order that makes it safe: a write goes to the log
 * first (without waiting), messages that promise durability wait until that write is stored.
 */
export class RaftDriver {
  readonly raft: Raft;
  readonly #log: LogStore;
  readonly #hooks: DriverHooks;
  /** Messages held until the write with this id, and all before it, is durable. */
  #held: { readonly writeId: number; readonly messages: readonly Message[] }[] = [];
  /** Id of the last write handed to the log that needs an fsync, and of the last one that is durable. */
  #lastWriteId = 0;
  #storedWriteId = 0;
  #installing = false;
  #announcing: Timer | undefined;
  #stopped = false;

  constructor(raft: Raft, logStore: LogStore, hooks: DriverHooks) {
    this.raft = raft;
    this.#log = logStore;
    this.#hooks = hooks;
  }

  /** Gives an event to the core. What follows from it is carried out by the next `pump`. */
  step(event: RaftEvent): StepResult {
    const result = this.raft.step(event);
    this.#hooks.wake();
    return result;
  }

  /** Carries out everything the core asks for now. Runs to its end without suspending. */
  pump(): void {
    while (!this.#installing && !this.#stopped && this.raft.hasReady()) this.#carryOut(this.raft.ready());
  }

  /** Has the commit index told to the others in a moment, should no entry take it along before. */
  announceSoon(): void {
    if (!this.raft.newsHeld || this.#announcing !== undefined) return;
    this.#announcing = this.#hooks.after(newsDelayMs, () => {
      this.#announcing = undefined;
      if (this.raft.newsHeld) this.step({ type: "announce" });
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#announcing?.cancel();
    this.#held = [];
  }

  #carryOut(ready: Ready): void {
    const write = ready.write;
    if (write?.snapshot !== undefined) {
      this.#install(ready, write.snapshot);
      return;
    }
    if (write !== undefined) this.#write(write);
    this.#finish(ready);
  }

  #finish(ready: Ready): void {
    for (const message of ready.messages) this.#hooks.send(message);
    if (ready.messagesAfterStored.length > 0) this.#sendAfterStored(ready.messagesAfterStored);
    if (ready.committed.length > 0) this.#hooks.apply(ready.committed);
    if (ready.reads.length > 0) this.#hooks.readsReady(ready.reads);
    if (ready.readsRefused.length > 0) this.#hooks.readsRefused(ready.readsRefused);
    if (ready.snapshotsWanted.length > 0) this.#hooks.snapshotsWanted(ready.snapshotsWanted);
  }

  #write(write: NonNullable<Ready["write"]>): void {
    // A commit index alone rides along with the next write; nothing waits for it.
    if (!write.mustSync) {
      this.#log.write(write, () => {});
      return;
    }
    this.#lastWriteId = write.id;
    this.#log.write(write, (error) => {
      if (this.#stopped) return;
      if (error !== undefined) {
        this.#hooks.fatal(error);
        return;
      }
      this.#storedWriteId = write.id;
      this.step({ type: "stored", writeId: write.id });
      this.#release();
    });
  }

  #sendAfterStored(messages: readonly Message[]): void {
    if (this.#storedWriteId >= this.#lastWriteId) {
      for (const message of messages) this.#sendStored(message);
    } else {
      this.#held.push({ writeId: this.#lastWriteId, messages });
    }
  }

  #release(): void {
    let released = 0;
    for (const { writeId, messages } of this.#held) {
      if (writeId > this.#storedWriteId) break;
      for (const message of messages) this.#sendStored(message);
      released++;
    }
    if (released > 0) this.#held.splice(0, released);
  }

  /** What was acknowledged in an earlier term may be replaced by now, even before it came to the disk. */
  #sendStored(message: Message): void {
    if (message.type === "append-response" && message.term < this.raft.term) return;
    this.#hooks.send(message);
  }

  /**
   * The state is replaced first, the log reset after it: a crash in between leaves a state ahead of
   * its log, which the next start repairs; the other order would leave a log that lacks its state.
   */
  #install(ready: Ready, snapshot: SnapshotMeta): void {
    this.#installing = true;
    this.#hooks.install(snapshot).then(
      () => {
        this.#installing = false;
        if (this.#stopped) return;
        log.info("Installed the snapshot at index {index}.", { index: snapshot.index });
        if (ready.write !== undefined) this.#write(ready.write);
        this.#finish(ready);
        this.#hooks.wake();
      },
      (error: unknown) => this.#hooks.fatal(error),
    );
  }
}
