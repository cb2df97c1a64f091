import { toHex } from "../../../src/base/bytes.ts";
import type { CommandResult, KeyValue } from "../../../src/kv/types.ts";

/**
 * What a caller can see of a result, as text that is equal for equal results. `bare` leaves out
 * keys and values, as a remembered answer does that was too long to remember.
 */
export function resultText(result: CommandResult, bare = false): string {
  const texts = (found: readonly KeyValue[]): string => (bare ? "" : found.map(keyText).join());
  switch (result.type) {
    case "refused":
      return `refused ${result.code}`;
    case "compact":
    case "lease-checkpoint":
      return `${result.type} @${result.revision}`;
    case "lease-grant":
      return `grant @${result.revision} ${result.id} ${result.ttlSeconds}`;
    case "lease-revoke":
      return `revoke @${result.revision} ${result.deleted}`;
    case "put":
      return `put @${result.revision} ${texts(result.previous === undefined ? [] : [result.previous])}`;
    case "delete":
      return `delete @${result.revision} ${result.deleted} ${texts(result.previous)}`;
    case "range":
      return `range @${result.revision} ${result.count} ${result.more} ${texts(result.keys)}`;
    case "txn": {
      const responses = result.responses.map((response) => resultText(response, bare));
      return `txn @${result.revision} ${result.succeeded} [${responses.join("; ")}]`;
    }
  }
}

/** Whether keys and values were left out somewhere in a remembered answer. */
export function isAbridged(result: CommandResult): boolean {
  if (result.type === "txn") return result.responses.some(isAbridged);
  return "abridged" in result && result.abridged === true;
}

export function keyText({ key, value, createRevision, modRevision, version, lease }: KeyValue): string {
  const numbers = `${createRevision},${modRevision},${version}${lease === 0 ? "" : `,lease ${lease}`}`;
  return `${toHex(key)}=${Bun.hash.crc32(value)}(${numbers})`;
}
