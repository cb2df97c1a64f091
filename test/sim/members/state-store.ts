import { createHash } from "node:crypto";
import { StateMachine } from "../../../src/kv/state-machine.ts";
import type { StateStore } from "../../../src/node/state-store.ts";
import type { SnapshotMeta } from "../../../src/raft/types.ts";
import type { SnapshotFile } from "../../../src/storage/types.ts";
import type { SqliteFaults } from "../disk/sim-sqlite.ts";
import { SqliteFile } from "../disk/sim-sqlite.ts";
import type { MemberProcess } from "./process.ts";

/** The files of a member's state on its simulated disk, for one life of its process. */
export class SimStateStore implements StateStore {
  readonly #process: MemberProcess;
  readonly #faults: SqliteFaults;
  readonly #copies = new Map<string, Uint8Array>();
  #copyNumber = 0;
  /** What of the state other connections see: a checkpoint covers no more. */
  #committedIndex = 0;
  /** Wraps each state machine that is opened, so that checkers see what it applies. */
  readonly #observe: (state: StateMachine) => void;

  constructor(process: MemberProcess, faults: SqliteFaults, observe: (state: StateMachine) => void) {
    this.#process = process;
    this.#faults = faults;
    this.#observe = observe;
  }

  /** Opens what the disk holds. */
  open(): StateMachine {
    const state = StateMachine.open(this.#file().open(this.#faults));
    this.#committedIndex = state.appliedIndex;
    const commit = state.commit.bind(state);
    state.commit = () => {
      const { appliedIndex } = state;
      try {
        commit();
      } finally {
        if (state.appliedIndex < appliedIndex) this.#undone(appliedIndex);
      }
      this.#committedIndex = state.appliedIndex;
    };
    this.#observe(state);
    return state;
  }

  #undone(appliedIndex: number): void {
    const { host } = this.#process;
    this.#process.appliedOnce = Math.max(this.#process.appliedOnce, appliedIndex);
    host.world.stateUndone(host);
  }

  /** The content of a copy that was made for a transfer. */
  copy(path: string): Uint8Array | undefined {
    return this.#copies.get(path);
  }

  async createSnapshot(): Promise<SnapshotFile> {
    await this.#process.pause(this.#process.disk.copyMs());
    const image = this.#file().image();
    const meta = metaOf(image);
    const path = `snapshot-${this.#copyNumber++}`;
    this.#copies.set(path, image);
    await this.#process.pause(this.#process.disk.copyMs());
    return {
      path,
      meta,
      bytes: image.length,
      sha256: createHash("sha256").update(image).digest("hex"),
      release: () => {
        this.#copies.delete(path);
      },
    };
  }

  async install(snapshot: SnapshotMeta, old: StateMachine): Promise<StateMachine> {
    const { disk } = this.#process;
    const received = disk.received;
    // At once, as the product: the next one may arrive while this one is installed.
    disk.received = undefined;
    if (received === undefined || received.index !== snapshot.index) {
      throw new Error(`the received snapshot is at ${received?.index}, not at ${snapshot.index}`);
    }
    old.close();
    await this.#process.pause(disk.fsyncMs());
    this.#file().discard();
    disk.state = new SqliteFile(received.image);
    // The rename is durable; a crash from here on finds the new state beside the old log.
    await this.#process.pause(disk.fsyncMs());
    if (disk.trouble.crashInInstall) {
      disk.trouble.crashInInstall = false;
      this.#process.host.crash();
    }
    return this.open();
  }

  async checkpoint(): Promise<number> {
    const { disk } = this.#process;
    await this.#process.pause(disk.copyMs());
    const file = this.#file();
    const index = this.#committedIndex;
    const mark = file.mark();
    await this.#process.pause(disk.fsyncMs());
    if (file === this.#file()) file.checkpoint(mark);
    return index;
  }

  bytes(): number {
    return 0;
  }

  usedBytes(): number {
    return 0;
  }

  close(): Promise<void> {
    this.#file().processEnded();
    return Promise.resolve();
  }

  #file(): SqliteFile {
    const file = this.#process.disk.state;
    if (file === undefined) throw new Error("this member has no state file");
    return file;
  }
}

function metaOf(image: Uint8Array): SnapshotMeta {
  const file = new SqliteFile(image);
  try {
    const state = StateMachine.open(file.open({ committed: () => {}, full: () => false }));
    return { index: state.appliedIndex, term: state.appliedTerm, conf: state.confState() };
  } finally {
    file.discard();
  }
}
