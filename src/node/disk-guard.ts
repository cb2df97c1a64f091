import { getLogger } from "@logtape/logtape";
import * as v from "valibot";
import { messageOf } from "../base/errors.ts";
import type { MemberId } from "../raft/types.ts";
import type { DiskSpace } from "../storage/disk-space.ts";
import type { LogStore } from "../storage/types.ts";
import { parsePeerBody } from "./admin.ts";
import type { DiskFigures } from "./disk-metrics.ts";
import { FullVoters } from "./full-voters.ts";
import { type DiskReport, HandOver } from "./hand-over.ts";
import type { Blocked, NodeAccess, NodePart, NodePartFactory } from "./part.ts";
import type { StateStore } from "./state-store.ts";

const log = getLogger(["coracle", "storage"]);

/** The size of the store is looked at again after this long, while commands are applied. */
const measureMs = 50;
/** Room that is kept on the disk for deletes, compaction and the log: the smaller of the two. */
const reserveBytesMax = 64 * 1024 * 1024;
const reserveShare = 0.05;
/** So much more than the reserve must be free before writes are taken again. */
const reserveSlack = 1.25;
/** The answer to a question of the leader about this member's disk. */
const askMs = 1000;

const reportSchema = v.strictObject({ full: v.boolean(), low: v.boolean(), writeMs: v.number() });

export interface DiskGuardOptions {
  readonly log: Pick<LogStore, "health">;
  readonly store: Pick<StateStore, "usedBytes">;
  /** Bytes of state.db in use above which the store may not grow; 0 for no limit. */
  readonly quotaBytes: number;
  readonly diskSpace: () => Promise<DiskSpace>;
  readonly name: string;
  /** Where the figures of the disk can be read from. */
  readonly metrics?: (figures: () => DiskFigures) => void;
}

/**
 * Watches the disk under this member. As the leader it refuses what the disk or the quota has no room
 * for, before it is proposed, and hands leadership over when another member's disk does better.
 */
export function diskGuard(options: DiskGuardOptions): NodePartFactory {
  return (node) => new DiskGuard(options, node);
}

class DiskGuard implements NodePart {
  readonly requests;
  readonly #options: DiskGuardOptions;
  readonly #node: NodeAccess;
  readonly #handOver: HandOver;
  readonly #fullVoters: FullVoters;
  #usedBytes: number;
  #measuredMs = Number.NEGATIVE_INFINITY;
  #space: DiskSpace | undefined;
  #looking: Promise<void> | undefined;
  #low = false;
  #overQuota = false;
  #leading = false;

  constructor(options: DiskGuardOptions, node: NodeAccess) {
    this.#options = options;
    this.#node = node;
    this.#usedBytes = options.store.usedBytes();
    const ask = async (member: MemberId): Promise<DiskReport> =>
      parsePeerBody(reportSchema, await node.ask(member, "disk", null, askMs), member);
    this.#handOver = new HandOver({ node, own: () => this.report(), ask });
    this.#fullVoters = new FullVoters(node, ask);
    this.requests = new Map([
      [
        "disk",
        async () => {
          // What was seen a second ago may have led to another leader without room.
          await this.#look();
          return this.report();
        },
      ],
    ]);
    this.#measure();
    options.metrics?.(() => this.#figures());
  }

  leading(term: number | undefined): void {
    this.#leading = term !== undefined;
    this.#fullVoters.forget();
  }

  applied(): void {
    if (this.#node.clock.nowMs() - this.#measuredMs >= measureMs) this.#measure();
  }

  installed(): void {
    this.#measure();
  }

  duty(): void {
    this.#measure();
    void this.#look();
    if (!this.#leading) return;
    this.#handOver.consider();
    this.#fullVoters.consider();
  }

  /** How this member's disk does, for itself and for a leader that asks. */
  report(): DiskReport {
    const { full, writeMs } = this.#options.log.health();
    return { full: full !== undefined || this.#node.stateTrouble() !== undefined, low: this.#low, writeMs };
  }

  blocked(): Blocked | undefined {
    const { name, quotaBytes } = this.#options;
    if (this.#options.log.health().full !== undefined) {
      const reason = `The disk of ${name} is full; make room, and it goes on by itself.`;
      return { reason, growthOnly: false, unready: "the disk of this member is full" };
    }
    if (this.#fullVoters.tooMany) {
      const reason =
        "The disks of so many members are full that no majority can store a write; make room, and it goes on by itself.";
      return { reason, growthOnly: false };
    }
    if (this.#low) {
      const reason = `The disk of ${name} has only ${mebibytes(this.#space?.freeBytes ?? 0)} MiB left; make room there, or delete keys and compact.`;
      return { reason, growthOnly: true };
    }
    if (!this.#overQuota) return undefined;
    const reason = `The store holds ${mebibytes(this.#usedBytes)} MiB and its quota is ${mebibytes(quotaBytes)} MiB; delete keys and compact, or raise --quota.`;
    return { reason, growthOnly: true, exceptOne: this.#compactedToTheNewest() };
  }

  /**
   * What the newest revision superseded is still there when everything older is compacted: a reader of
   * changes may begin at it. Only another revision makes it removable, so one more write is taken; else
   * a store whose keys were all deleted at once would stay over its quota for ever.
   */
  #compactedToTheNewest(): boolean {
    const state = this.#node.state();
    return state.compactRevision === state.revision && !state.compactionPending;
  }

  #figures(): DiskFigures {
    this.#measure();
    return {
      usedBytes: this.#usedBytes,
      quotaBytes: this.#options.quotaBytes,
      freeBytes: this.#space?.freeBytes,
      full: this.report().full,
    };
  }

  #measure(): void {
    this.#measuredMs = this.#node.clock.nowMs();
    this.#usedBytes = this.#options.store.usedBytes();
    const { quotaBytes } = this.#options;
    const over = quotaBytes > 0 && this.#usedBytes >= quotaBytes;
    if (over !== this.#overQuota) {
      const figures = { used: mebibytes(this.#usedBytes), quota: mebibytes(quotaBytes) };
      if (over) log.warn("The store has reached its quota: {used} of {quota} MiB.", figures);
      else log.info("The store is below its quota again: {used} of {quota} MiB.", figures);
    }
    this.#overQuota = over;
  }

  #look(): Promise<void> {
    this.#looking ??= this.#lookNow().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #lookNow(): Promise<void> {
    try {
      this.#space = await this.#options.diskSpace();
      this.#judge(this.#space);
    } catch (error) {
      log.debug("The room on the disk is not known: {reason}", { reason: messageOf(error) });
    }
  }

  #judge({ freeBytes, totalBytes }: DiskSpace): void {
    const reserve = Math.min(reserveBytesMax, totalBytes * reserveShare);
    const low = freeBytes < (this.#low ? reserve * reserveSlack : reserve);
    if (low === this.#low) return;
    this.#low = low;
    const free = mebibytes(freeBytes);
    if (low) log.warn("Only {free} MiB are left on the disk.", { free });
    else log.info("The disk has room again: {free} MiB.", { free });
  }
}

function mebibytes(bytes: number): string {
  return (bytes / 1024 ** 2).toFixed(1);
}
