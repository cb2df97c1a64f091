import { getLogger } from "@logtape/logtape";
import { messageOf } from "../base/errors.ts";
import type { MemberId } from "../raft/types.ts";
import type { NodeAccess } from "./part.ts";

const log = getLogger(["coracle", "node"]);

/** What a member says of its disk. */
export interface DiskReport {
  /** It cannot be written: what must be stored waits. */
  readonly full: boolean;
  /** It has little room left: writes are refused before it is full. */
  readonly low: boolean;
  /** About how long a write of the log takes to be durable; 0 when nothing was written of late. */
  readonly writeMs: number;
}

export interface HandOverContext {
  readonly node: NodeAccess;
  own(): DiskReport;
  ask(member: MemberId): Promise<DiskReport>;
}

/** A disk is slow only when a write takes longer than this, and so many times as long as elsewhere. */
const slowMs = 25;
const slowFactor = 4;
/** Slow for so long: longer than a checkpoint or a snapshot beside it takes. */
const slowForMs = 2000;
/** After one hand-over no other for the same reason: disks that take turns at being slow must not pass leadership around. */
const againMs = { slow: 60_000, full: 5000 };
/** A successor may lack this much of the log: it gets it before it takes over. */
const behindEntriesMax = 1000;

/**
 * A leader whose own disk is much worse than another voter's hands leadership over to that one. All
 * it knows of other disks is what their members answer; when all are as bad it stays.
 */
export class HandOver {
  readonly #context: HandOverContext;
  #slowSinceMs: number | undefined;
  #lastMs = Number.NEGATIVE_INFINITY;
  #working = false;

  constructor(context: HandOverContext) {
    this.#context = context;
  }

  /** Called about once a second while this member leads. */
  consider(): void {
    const why = this.#why();
    if (why === undefined || this.#working) return;
    const nowMs = this.#context.node.clock.nowMs();
    if (nowMs - this.#lastMs < againMs[why]) return;
    this.#working = true;
    this.#attempt(why)
      .catch((error: unknown) => {
        log.info("Leadership was not handed over: {reason}", { reason: messageOf(error) });
      })
      .finally(() => {
        this.#working = false;
      });
  }

  #why(): "full" | "slow" | undefined {
    const { full, low, writeMs } = this.#context.own();
    if (full || low) return "full";
    const nowMs = this.#context.node.clock.nowMs();
    if (writeMs <= slowMs) this.#slowSinceMs = undefined;
    else this.#slowSinceMs ??= nowMs;
    return this.#slowSinceMs !== undefined && nowMs - this.#slowSinceMs >= slowForMs ? "slow" : undefined;
  }

  async #attempt(why: "full" | "slow"): Promise<void> {
    const { node } = this.#context;
    const { term } = node.raft();
    const reports = await this.#reports();
    const own = this.#context.own();
    const { role, term: termNow, conf } = node.raft();
    if (role !== "leader" || termNow !== term) return;
    const healthy = reports.filter(({ report }) => !report.full && !report.low);
    // A member with a full disk cannot even vote: the others must elect the successor by themselves.
    if (own.full && healthy.length * 2 <= conf.voters.length) return;
    const better =
      why === "full"
        ? healthy
        : healthy.filter(({ report }) => report.writeMs > 0 && report.writeMs * slowFactor < own.writeMs);
    const [best] = better.sort((a, b) => a.report.writeMs - b.report.writeMs);
    if (best === undefined) return;
    this.#lastMs = node.clock.nowMs();
    log.warn(
      "The disk of this member is {why} ({own} ms a write, {other} ms at member {member}): leadership is handed over.",
      { why, own: Math.round(own.writeMs), other: Math.round(best.report.writeMs), member: best.member },
    );
    await node.askLeader("admin", { op: "transfer", to: best.member });
    this.#slowSinceMs = undefined;
  }

  /** The answers of the voters that could take over: reachable and nearly up to date. */
  async #reports(): Promise<{ readonly member: MemberId; readonly report: DiskReport }[]> {
    const { progress, lastIndex } = this.#context.node.raft();
    const able = progress.filter(
      ({ learner, active, match }) => !learner && active && lastIndex - match <= behindEntriesMax,
    );
    const answers = await Promise.all(
      able.map(async ({ member }) => {
        const report = await this.#context.ask(member).catch(() => undefined);
        return report === undefined ? [] : [{ member, report }];
      }),
    );
    return answers.flat();
  }
}
