/** How a member behaves. All of it has a flag; see `config/options.ts` for the defaults. */
export interface NodeOptions {
  readonly heartbeatMs: number;
  readonly electionMs: number;
  /** How long a proposal may wait for its outcome before it is reported as unknown. */
  readonly requestTimeoutMs: number;
  /** How long a request may wait for a leader before it is refused. */
  readonly leaderWaitMs: number;
  /** The log is cut once it holds more entries or bytes than these. */
  readonly logEntriesMax: number;
  readonly logBytesMax: number;
  /** Entries that stay behind the cut, for followers that are a little late. */
  readonly logTailEntries: number;
  readonly valueBytesMax: number;
  /** Remove a voter that was unreachable for so long, when the rest keeps a healthy quorum; off when absent. */
  readonly removeDeadAfterMs?: number;
}

/** Figures of the product itself, told to the other members and to operators. */
export interface BuildInfo {
  readonly version: string;
  readonly commit: string;
}
