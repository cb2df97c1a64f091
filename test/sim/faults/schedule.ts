import { seededRandom } from "../../../src/base/prng.ts";
import { between, chance, pickWeighted, stream } from "../engine/streams.ts";
import type { World } from "../members/world.ts";
import { leaderFaults } from "./leader-faults.ts";
import { machineFaults } from "./machine-faults.ts";
import { membershipFaults } from "./membership-faults.ts";
import { networkFaults } from "./network-faults.ts";
import type { Fault, FaultKind } from "./types.ts";

/** Every kind of fault by its name. */
export const faultKinds: Readonly<Record<string, FaultKind>> = {
  ...networkFaults,
  ...leaderFaults,
  ...machineFaults,
  ...membershipFaults,
};

/** Makes the explicit list of a seed's faults: what a shrinker may cut from. */
export function planFaults(seed: number, untilMs: number): Fault[] {
  const random = stream(seed, "faults");
  const faults: Fault[] = [];
  // Some seeds know few kinds and much of them: states that a mixture rarely reaches.
  const weights: Record<string, number> = {};
  const focus = chance(random, 0.4);
  for (const [kind, { weight }] of Object.entries(faultKinds)) {
    weights[kind] = focus && chance(random, 0.7) ? 0 : weight * between(random, 0.3, 2);
  }
  if (Object.values(weights).every((weight) => weight === 0)) weights["process killed"] = 1;
  const paceMs = between(random, 150, 1500);
  let atMs = between(random, 50, 1500);
  while (atMs < untilMs) {
    const kind = pickWeighted(random, weights);
    const { durationMsMin, durationMsMax } = faultKinds[kind] as FaultKind;
    const draw = random.float();
    const durationMs = Math.round(durationMsMin + draw * draw * (durationMsMax - durationMsMin));
    faults.push({ atMs: Math.round(atMs), durationMs, kind, seed: random.below(0x1_0000_0000) });
    atMs += paceMs * (chance(random, 0.25) ? 0.05 : between(random, 0.2, 1.8));
  }
  return faults;
}

/** Carries a schedule out. */
export class FaultRunner {
  readonly #world: World;
  readonly #active = new Set<() => void>();
  #over = false;

  constructor(world: World) {
    this.#world = world;
  }

  plan(faults: readonly Fault[]): void {
    for (const fault of faults) this.#world.scheduler.afterMs(fault.atMs, () => this.#begin(fault));
  }

  #begin(fault: Fault): void {
    if (this.#over) return;
    const { scheduler, coverage, trace } = this.#world;
    const kind = faultKinds[fault.kind];
    if (kind === undefined) throw new Error(`there is no fault "${fault.kind}"`);
    trace.note("fault", 0, 0, 0, () => `${fault.kind} for ${fault.durationMs} ms`);
    coverage.add(`fault: ${fault.kind}`);
    const end = kind.begin(this.#world, seededRandom(fault.seed));
    if (end === undefined) return;
    this.#active.add(end);
    scheduler.afterMs(fault.durationMs, () => {
      if (!this.#active.delete(end)) return;
      trace.note("fault-over", 0, 0, 0, () => fault.kind);
      end();
    });
  }

  /** Ends all faults, now and for good. */
  stop(): void {
    this.#over = true;
    const active = [...this.#active];
    this.#active.clear();
    for (const end of active) end();
  }
}
