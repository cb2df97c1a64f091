import { compareBytes } from "../base/bytes.ts";
import { CoracleError } from "../base/errors.ts";
import type { KeyRange } from "../kv/types.ts";

/**
 * @throws CoracleError invalid_argument when the range can hold no key.
 */
export function checkRange({ key, end }: KeyRange): void {
  if (end === undefined && key.length === 0) {
    throw new CoracleError("invalid_argument", "The key to watch is empty; a key has at least one byte.");
  }
  if (end !== undefined && end !== null && compareBytes(key, end) >= 0) {
    throw new CoracleError(
      "invalid_argument",
      "The range to watch is empty: its end does not lie behind its start.",
    );
  }
}
