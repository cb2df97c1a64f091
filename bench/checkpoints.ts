import { statSync } from "node:fs";
import { join } from "node:path";
import { nowMs } from "./clock.ts";
import type { BenchMember } from "./members.ts";
import type { Windows } from "./pacer.ts";

/** What a checkpoint of coracle writes; nothing else writes to these files (src/storage/DESIGN.md). */
const files = ["state.db", "state.sums", "state.mark"];
const everyMs = 10;
/** Its first fsync shows in no file's time, and the last write not at once. */
const marginBeforeMs = 200;
const marginAfterMs = 50;
/** Writes closer together than this are of one checkpoint. */
const joinMs = 500;

/** Watches from outside when a member of coracle makes checkpoints: the times of its files. */
export class CheckpointWatch {
  readonly #paths: readonly string[];
  readonly #beganMs = nowMs();
  readonly #writesMs: number[] = [];
  #seen = "";
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(member: BenchMember) {
    this.#paths = files.map((file) => join(member.folder, file));
    this.#seen = this.#look();
    this.#timer = setInterval(() => {
      const now = this.#look();
      if (now !== this.#seen) this.#writesMs.push(nowMs());
      this.#seen = now;
    }, everyMs);
  }

  #look(): string {
    return this.#paths.map((path) => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0).join();
  }

  /** Ends the watch, and gives the times with a checkpoint and those without. */
  stop(): { busy: Windows; quiet: Windows; count: number } {
    clearInterval(this.#timer);
    const busy: [number, number][] = [];
    for (const at of this.#writesMs) {
      const last = busy.at(-1);
      if (last !== undefined && at - marginBeforeMs < last[1] + joinMs) last[1] = at + marginAfterMs;
      else busy.push([at - marginBeforeMs, at + marginAfterMs]);
    }
    const quiet: [number, number][] = [];
    let from = this.#beganMs;
    for (const [begin, end] of busy) {
      if (begin > from) quiet.push([from, begin]);
      from = end;
    }
    quiet.push([from, nowMs()]);
    return { busy, quiet, count: busy.length };
  }
}

/** Where both are. */
export function overlap(some: Windows, others: Windows): Windows {
  return some.flatMap(([from, to]) =>
    others
      .map(([begin, end]): [number, number] => [Math.max(from, begin), Math.min(to, end)])
      .filter(([begin, end]) => begin < end),
  );
}

export function secondsOf(windows: Windows): number {
  return windows.reduce((sum, [from, to]) => sum + to - from, 0) / 1000;
}
