import type { MemberId } from "./types.ts";

/** The smallest number of voters that is a majority. */
export function majority(voters: number): number {
  return Math.floor(voters / 2) + 1;
}

const scratch: number[] = [];

/** The largest index that a majority has reached; 0 without voters. Called for every acknowledgement. */
export function quorumIndex(voters: readonly MemberId[], indexOf: (voter: MemberId) => number): number {
  const count = voters.length;
  if (count === 0) return 0;
  // Insertion sort, descending, into one array for all calls: there are at most a few voters.
  for (let filled = 0; filled < count; filled++) {
    const value = indexOf(voters[filled] as MemberId);
    let at = filled;
    for (; at > 0 && (scratch[at - 1] as number) < value; at--) scratch[at] = scratch[at - 1] as number;
    scratch[at] = value;
  }
  return scratch[majority(count) - 1] as number;
}

/** How a vote stands. A candidate needs a majority of all voters, not of those that answered. */
export function tally(
  voters: readonly MemberId[],
  votes: ReadonlyMap<MemberId, boolean>,
): "won" | "lost" | "open" {
  let granted = 0;
  let refused = 0;
  for (const voter of voters) {
    const vote = votes.get(voter);
    if (vote === true) granted++;
    else if (vote === false) refused++;
  }
  const needed = majority(voters.length);
  if (granted >= needed) return "won";
  return voters.length - refused < needed ? "lost" : "open";
}
