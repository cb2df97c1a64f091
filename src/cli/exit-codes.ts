/** How a command ends, for scripts. Part of the public interface: documented in docs/cli.md. */
export const exitCodes = {
  ok: 0,
  /** Refused by the cluster, or broken off by an error that fits no other code. */
  failed: 1,
  /** A wrong flag, argument or configuration; nothing was sent. */
  usage: 2,
  /** No endpoint could be reached, or the cluster has no leader now; nothing was changed. */
  unavailable: 3,
  /** A change was sent, and whether it took effect is not known. */
  outcomeUnknown: 4,
  /** The key, member or lease does not exist. */
  notFound: 5,
  /** --if-match, --if-none-match or --create-only did not hold, or a lock was not free in time. */
  conditionFailed: 6,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

export const exitCodesHelp = `Exit codes:
  0  done
  1  refused by the cluster, or failed
  2  wrong flag, argument or configuration; nothing was sent
  3  no endpoint reachable, or no leader now; nothing was changed
  4  sent, but the outcome is unknown
  5  no such key, member or lease
  6  the condition did not hold, or the lock was not free in time; nothing was changed`;

/** Ends a command with one sentence on stderr and an exit code. */
export class CommandFailure extends Error {
  override readonly name = "CommandFailure";
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode, sentence: string) {
    super(sentence);
    this.exitCode = exitCode;
  }
}
