/** Every limit of a queue, batch, frame or request, by name. Units stand last in the names. */
export const limits = {
  /** The longest key. */
  keyBytesMax: 32 * 1024,
  /** The longest value; a flag may change it. */
  valueBytesMax: 1_572_864,
  /** Operations in one transaction, nested ones included. */
  txnOperationsMax: 128,
  /** Proposals that one member holds between acceptance and answer. */
  proposalsInFlightMax: 16_384,
  /** Bytes of those proposals. */
  proposalsInFlightBytesMax: 64 * 1024 * 1024,
  /** Bytes of request bodies that one member reads at once; each counts whole from its first byte on. */
  bodiesBytesMax: 64 * 1024 * 1024,
  /** How long a request body may take to arrive. */
  bodyArrivalMsMax: 60_000,
  /** Bytes of answers that wait for their clients to read; over it reads are refused. */
  answersBytesMax: 128 * 1024 * 1024,
  /** How long an answer waits for its client to read on before the connection is given up. */
  answerStallMsMax: 60_000,
  /** Linearizable reads that one member holds between arrival and answer. */
  readsInFlightMax: 65_536,
  /** Bytes of commands that go into one log entry before a new entry begins. */
  batchBytesMax: 1024 * 1024,
  /** Commands in one log entry. */
  batchCommandsMax: 1024,
  /** One frame on a peer connection. Above a batch whose only command has the largest value. */
  frameBytesMax: 16 * 1024 * 1024,
  /** Answers to forwarded commands in one message; a larger one leaves its key-values out. */
  forwardResultBytesMax: 8 * 1024 * 1024,
  /** One log entry, encoded: with its message around it it fits a frame. */
  entryBytesMax: 15 * 1024 * 1024,
  /**
   * Bytes that one command or read may answer (one larger key-value goes alone). With the frame
   * around it, below `forwardResultBytesMax`: a member that forwards can answer as the leader does.
   */
  answerBytesMax: 8 * 1024 * 1024 - 64 * 1024,
  /** Bytes that may wait to be written to one peer before messages to it are dropped. */
  peerQueueBytesMax: 64 * 1024 * 1024,
  /** Entries in one append message. */
  appendEntriesMax: 1024,
  /** Bytes of entries in one append message (one larger entry goes alone). */
  appendBytesMax: 2 * 1024 * 1024,
  /** Append messages to one follower that are not yet answered. */
  appendsInFlightMax: 128,
  /** Bytes of those append messages. */
  appendsInFlightBytesMax: 32 * 1024 * 1024,
  /** Bytes of committed entries handed to the state machine at once. */
  applyBytesMax: 8 * 1024 * 1024,
  /** Bytes of entries in the open transaction of the state machine before it is committed. */
  applyOpenBytesMax: 4 * 1024 * 1024,
  /** Bytes of recent log entries kept in memory. */
  logCacheBytesMax: 16 * 1024 * 1024,
  /** A chunk of a snapshot on its way to a member. */
  snapshotChunkBytes: 256 * 1024,
  /** Keys in one answer of a listing when the client names no limit. */
  rangeKeysDefault: 1_000,
  /** Most keys in one answer of a listing. */
  rangeKeysMax: 10_000,
  /** Entity tags in one conditional header; each is a comparison in the log. */
  entityTagsMax: 16,
  /** Members of a cluster, learners included. */
  membersMax: 15,
  /** The longest TTL of a lease, as in etcd. */
  leaseTtlSecondsMax: 9_000_000_000,
  /** Bytes of keys, values and operands of one command, beyond the largest value. */
  commandOverheadBytesMax: 64 * 1024,
  /** The longest `Idempotency-Key`, in bytes of UTF-8. */
  idempotencyKeyBytesMax: 256,
  /** How many idempotency keys are remembered; the oldest is forgotten first. */
  idempotencyKeysMax: 100_000,
  /** How long an idempotency key is remembered. */
  idempotencyAgeMsMax: 24 * 60 * 60 * 1000,
  /** A longer answer is remembered without its key-values. */
  idempotencyResultBytesMax: 4096,
  /** Watches on one member. */
  watchesMax: 50_000,
  /** Bytes of events that wait for one receiver of a watch before it is read for from history again. */
  watchQueueBytesMax: 1024 * 1024,
  /** Events that wait for one receiver. */
  watchQueueEventsMax: 10_000,
  /** Bytes that wait for all receivers together; what several watches share counts for each. */
  watchQueuesBytesMax: 64 * 1024 * 1024,
  /** Rows of history read at once for the watches that are up to date. */
  watchFanOutRows: 512,
  /** Rows of history read at once for watches that are behind. */
  watchSliceRows: 512,
  /** Bytes of history read at once for watches. */
  watchSliceBytes: 1024 * 1024,
  /** Batches given to receivers of watches in one turn; 4 KiB of a large one count as one. */
  watchGivenPerTurn: 256,
  /** Rows read in one go for watches when a compaction is about to pass them. */
  watchOvertakenRowsMax: 16_384,
} as const;
