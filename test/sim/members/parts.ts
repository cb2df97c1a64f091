import { present } from "../../../src/base/assert.ts";
import { Locks } from "../../../src/concurrency/locks.ts";
import { Compactor, type Retention } from "../../../src/node/compactor.ts";
import { diskGuard } from "../../../src/node/disk-guard.ts";
import { Leases } from "../../../src/node/leases.ts";
import type { NodePartFactory } from "../../../src/node/part.ts";
import { stateComparison } from "../../../src/node/state-comparison.ts";
import { WatchHub } from "../../../src/watch/hub.ts";
import type { WatchLimits } from "../../../src/watch/types.ts";
import type { MemberProcess } from "./process.ts";

export interface PartOptions {
  readonly retention: Retention;
  /** How full the state seems to be, from 0 to 1: then more is compacted. */
  readonly fill: number;
  readonly watchLimits: WatchLimits;
  readonly leaseCheckpointMs: number;
}

/** Of a file system that a fault fills; so much is free when it does not. */
const diskBytes = 1024 ** 3;

/** The parts that the program attaches to a member's node, and the services over them. */
export class MemberParts {
  readonly factories: readonly NodePartFactory[];
  readonly locks: Locks;
  #watches: WatchHub | undefined;
  #leases: Leases | undefined;

  constructor(process: MemberProcess, options: PartOptions) {
    const { trouble } = process.disk;
    const watches: NodePartFactory = ({ state, clock, random }) => {
      const onFatal = (error: unknown): void => process.fatal(error);
      this.#watches = new WatchHub({ source: state, clock, random, limits: options.watchLimits, onFatal });
      return this.#watches;
    };
    const leases: NodePartFactory = (node) => {
      this.#leases = new Leases(node, { checkpointMs: options.leaseCheckpointMs });
      return this.#leases;
    };
    const guard = diskGuard({
      log: process.log,
      store: process.store,
      quotaBytes: 0,
      diskSpace: async () => ({
        freeBytes: trouble.full || trouble.logFull ? 0 : diskBytes / 2,
        totalBytes: diskBytes,
      }),
      name: process.host.name,
    });
    const compactor: NodePartFactory = (node) => {
      return new Compactor(node, { retention: options.retention, fill: () => options.fill });
    };
    const comparison = stateComparison({
      everyMs: 1000,
      condemn: (reason) => process.fatal(new Error(`condemned by the others: ${reason}`)),
    });
    this.factories = [watches, leases, compactor, guard, comparison];
    const kv = {
      propose: (...args: Parameters<MemberProcess["node"]["propose"]>) => process.node.propose(...args),
      range: (...args: Parameters<MemberProcess["node"]["range"]>) => process.node.range(...args),
    };
    const parts = this;
    this.locks = new Locks({
      kv,
      get leases() {
        return parts.leases;
      },
      get watches() {
        return parts.watches;
      },
      clock: process.clock,
    });
  }

  get watches(): WatchHub {
    return present(this.#watches, "the hub of a node that was made");
  }

  get leases(): Leases {
    return present(this.#leases, "the leases of a node that was made");
  }
}
