import type { Cluster, Member } from "../cluster.ts";
import type { Load } from "../load.ts";
import type { Network } from "./network.ts";

/** What a fault finds when it begins: a cluster that serves its clients. */
export interface Scene {
  readonly cluster: Cluster;
  /** At the moment when the fault begins. */
  readonly leader: Member;
  readonly followers: readonly Member[];
  readonly load: Load;
  /** Only for faults that ask for one. */
  readonly network: Network;
  /** What the table shall say beside the figures. */
  note(text: string): void;
  /** An expectation of this fault alone. */
  check(ok: boolean, what: string): void;
}

export interface Fault {
  readonly name: string;
  /** What happens, and what is expected of whom. */
  readonly text: string;
  /** Why it cannot be made here. */
  readonly lacking?: () => string | undefined;
  readonly members?: number;
  readonly flags?: readonly string[];
  readonly network?: "block" | "shape";
  /** Each member has a file system of this size of its own. */
  readonly diskMebibytes?: number;
  /** Each member's wall clock can be stepped. */
  readonly clocks?: boolean;
  readonly valueBytes?: number;
  readonly bytesPerSecond?: number;
  readonly holdMs: number;
  /** The longest time without an acknowledged write that is expected, all clients together. */
  readonly gapMsMax: number;
  /** Among those that `npm test` runs. */
  readonly short?: boolean;
  /** Makes it; gives what ends it. */
  begin(scene: Scene): Promise<() => Promise<void> | void>;
}

/** An election takes up to two timeouts of 1,000 ms and some round trips; the machine may be busy. */
export const electionGapMs = 4000;
/** No election: nobody notices more than a pause of the machine. */
export const noGapMs = 1500;

export function numberOf({ cluster }: Scene, member: Member): number {
  return cluster.members.indexOf(member);
}
