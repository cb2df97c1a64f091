/** Bytes of a peer, or of a log entry, that are not what this version writes. */
export class WireError extends Error {
  override readonly name = "WireError";
}
