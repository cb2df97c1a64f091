import type { Fault } from "../faults/types.ts";

export interface Shrunk {
  /** Positions in the seed's own schedule that are still needed. */
  readonly kept: readonly number[];
  readonly runs: number;
}

/**
 * Cuts faults from the schedule of a failing seed for as long as the same checker fails (delta
 * debugging, Zeller 1999): first halves, then smaller parts, at the end one by one.
 */
export function shrink(
  schedule: readonly Fault[],
  fails: (faults: readonly Fault[]) => boolean,
  runsMax = 400,
): Shrunk {
  let kept = schedule.map((_, position) => position);
  let parts = 2;
  let runs = 0;
  const tries = (positions: readonly number[]): boolean => {
    runs++;
    return fails(positions.map((position) => schedule[position] as Fault));
  };
  if (kept.length > 0 && tries([])) return { kept: [], runs };
  while (kept.length > 1 && runs < runsMax) {
    const size = Math.ceil(kept.length / parts);
    let reduced = false;
    for (let start = 0; start < kept.length && runs < runsMax; start += size) {
      const rest = [...kept.slice(0, start), ...kept.slice(start + size)];
      if (!tries(rest)) continue;
      kept = rest;
      parts = Math.max(2, parts - 1);
      reduced = true;
      break;
    }
    if (reduced) continue;
    if (size === 1) break;
    parts = Math.min(kept.length, parts * 2);
  }
  return { kept, runs };
}
