/** A broken invariant: a bug in coracle, never a mistake of a user or a peer. It stops the member. */
export class InvariantViolation extends Error {
  override readonly name = "InvariantViolation";
}

/**
 * Checks an invariant. Assertions stay on in production: a member that finds itself in an
 * impossible state stops with the reason, it never guesses on.
 *
 * @throws InvariantViolation when `condition` is false.
 */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new InvariantViolation(message);
}

/** Narrows away `undefined` and `null` where the surrounding code guarantees a value. */
export function present<T>(value: T | undefined | null, what: string): T {
  if (value === undefined || value === null) throw new InvariantViolation(`${what} is missing`);
  return value;
}

/** Makes a switch over a union exhaustive at compile time. */
export function unreachable(value: never): never {
  throw new InvariantViolation(`unhandled case: ${JSON.stringify(value)}`);
}
