/** The protocol version of this program; raised with any change of a message (see fingerprint.ts). */
export const protocolVersion = 1;
/** The oldest version that this program still speaks: its direct predecessor's. */
export const protocolVersionMin = 1;

/** What each frame says it is, by its second item. Numbers are never given a new meaning. */
export const frameType = {
  append: 1,
  "append-response": 2,
  vote: 3,
  "vote-response": 4,
  heartbeat: 5,
  "heartbeat-response": 6,
  snapshot: 7,
  "timeout-now": 8,
  "read-index": 9,
  "read-index-response": 10,
  forward: 16,
  "forward-result": 17,
  request: 18,
  response: 19,
  "request-failed": 20,
  ping: 32,
  pong: 33,
  "snapshot-offer": 40,
  "snapshot-offset": 41,
  "snapshot-chunk": 42,
  "snapshot-verdict": 43,
} as const;

export interface VersionRange {
  readonly min: number;
  readonly max: number;
}

export const supportedVersions: VersionRange = { min: protocolVersionMin, max: protocolVersion };

/** The highest version that both sides speak, or `undefined` when their ranges do not overlap. */
export function negotiateVersion(ours: VersionRange, theirs: VersionRange): number | undefined {
  const version = Math.min(ours.max, theirs.max);
  return version >= ours.min && version >= theirs.min ? version : undefined;
}
