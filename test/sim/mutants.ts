import { clientsMutants } from "./mutation/clients-mutants.ts";
import { membersMutants } from "./mutation/members-mutants.ts";
import type { Mutant } from "./mutation/mutant.ts";
import { raftMutants } from "./mutation/raft-mutants.ts";
import { storeMutants } from "./mutation/store-mutants.ts";

/**
 * The simulator is as good as what it catches. Each of these breaks one rule; where an assertion of
 * the product would notice at once, that is removed too, so that the checkers have to.
 */
export const mutants: readonly Mutant[] = [
  ...raftMutants,
  ...membersMutants,
  ...storeMutants,
  ...clientsMutants,
];
