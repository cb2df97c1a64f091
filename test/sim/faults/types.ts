import type { Random } from "../../../src/base/prng.ts";
import type { World } from "../members/world.ts";

/** One fault of a schedule. What it does in detail is drawn from its own seed. */
export interface Fault {
  readonly atMs: number;
  readonly durationMs: number;
  readonly kind: string;
  readonly seed: number;
}

/** Begins a fault; gives what ends it. */
export type FaultAction = (world: World, random: Random) => (() => void) | undefined;

export interface FaultKind {
  /** How often it is chosen among the others. */
  readonly weight: number;
  readonly durationMsMin: number;
  readonly durationMsMax: number;
  readonly begin: FaultAction;
}
