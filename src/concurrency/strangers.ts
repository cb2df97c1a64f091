import { fromUtf8 } from "../base/bytes.ts";
import { int64 } from "../base/int64.ts";
import type { KeyValue, LeaseId } from "../kv/types.ts";
import type { LeaseService } from "../service/service.ts";
import { firstOf, sameRevisionMax } from "./claim.ts";
import { codeOf } from "./passing.ts";
import type { ConcurrencyDependencies } from "./types.ts";

/** The lease that the last part of a key names, as claims do. */
function namedLease(key: Uint8Array): LeaseId | undefined {
  const digits = /\/(-?[0-9a-f]{1,16})$/.exec(fromUtf8(key))?.[1];
  if (digits === undefined) return undefined;
  const id = digits.startsWith("-") ? -BigInt(`0x${digits.slice(1)}`) : BigInt(`0x${digits}`);
  return id === 0n || BigInt.asIntN(64, id) !== id ? undefined : int64(id);
}

/**
 * For how many seconds yet a key without a lease must be taken for a claim: its lease may have been
 * taken from it by a stranger's put, and whoever made the claim believes in it until the lease ends.
 * `undefined`: it is no claim (any more).
 */
async function claimedSeconds(leases: LeaseService, key: Uint8Array): Promise<number | undefined> {
  const lease = namedLease(key);
  if (lease === undefined) return undefined;
  try {
    return (await leases.timeToLive(lease, false)).remainingSeconds;
  } catch (error) {
    if (codeOf(error) === "lease_not_found") return undefined;
    throw error;
  }
}

/** Keys below a name without those that nobody can hold anything by. */
export interface Claims {
  readonly keys: readonly KeyValue[];
  /** In so many seconds a key among them may be no claim any more, though nothing is deleted. */
  readonly untilSeconds: number | undefined;
}

/**
 * Leaves out the keys that are no claims: those without a lease whose name is of no living lease. A key
 * with a lease counts whatever its name, since other recipes than etcd's have names of their own.
 */
export async function claimsAmong(leases: LeaseService, keys: readonly KeyValue[]): Promise<Claims> {
  if (keys.every(({ lease }) => lease !== 0)) return { keys, untilSeconds: undefined };
  const claims: KeyValue[] = [];
  let untilSeconds: number | undefined;
  for (const key of keys) {
    if (key.lease !== 0) {
      claims.push(key);
      continue;
    }
    const seconds = await claimedSeconds(leases, key.key);
    if (seconds === undefined) continue;
    claims.push(key);
    untilSeconds = Math.min(untilSeconds ?? seconds, seconds);
  }
  return { keys: claims, untilSeconds };
}

/** Who holds a lock or leads, by a linearizable read. */
export async function headOf({ kv, leases }: ConcurrencyDependencies, name: Uint8Array) {
  const { revision, keys } = await kv.range(firstOf(name), { mode: "linearizable" });
  const [oldest] = keys;
  if (oldest === undefined || oldest.lease !== 0) return { revision, head: oldest };
  const more = await kv.range({ ...firstOf(name), limit: sameRevisionMax + 1 }, { mode: "linearizable" });
  const claims = await claimsAmong(leases, more.keys);
  // Behind so many keys that are no claims nobody looks for one: they stand in the way, as in etcd.
  const all = more.keys.length <= sameRevisionMax;
  return { revision: more.revision, head: claims.keys[0] ?? (all ? undefined : more.keys[0]) };
}
