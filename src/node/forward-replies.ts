import { CoracleError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { Command } from "../kv/types.ts";
import { type CommandLimits, validateCommand } from "../kv/validate.ts";
import type { ForwardOutcome, PeerMessage } from "../peer/types.ts";
import type { MemberId } from "../raft/types.ts";
import { abridgedOutcome, outcomeBytes } from "./result-size.ts";

type Numbered = readonly [number, ForwardOutcome];

/** Ends of commands that other members forwarded to this one; those of a turn go together, a member at a time. */
export class ForwardReplies {
  readonly #send: (to: MemberId, message: PeerMessage) => boolean;
  readonly #wake: () => void;
  readonly #waiting = new Map<MemberId, Numbered[]>();

  constructor(send: (to: MemberId, message: PeerMessage) => boolean, wake: () => void) {
    this.#send = send;
    this.#wake = wake;
  }

  /** Submits forwarded commands; their ends, refusals among them, go back to the member they came from. */
  serve(
    from: MemberId,
    { first, commands }: Extract<PeerMessage, { type: "forward" }>,
    commandLimits: CommandLimits,
    submit: (command: Command, end: (outcome: ForwardOutcome) => void) => void,
  ): void {
    commands.forEach((command, at) => {
      const end = (outcome: ForwardOutcome): void => this.#add(from, first + at, outcome);
      try {
        validateCommand(command, commandLimits);
      } catch (error) {
        if (!(error instanceof CoracleError)) throw error;
        end({ status: "done", result: { type: "refused", code: error.code, message: error.message } });
        return;
      }
      submit(command, end);
    });
  }

  #add(to: MemberId, number: number, outcome: ForwardOutcome): void {
    const outcomes = this.#waiting.get(to);
    if (outcomes === undefined) this.#waiting.set(to, [[number, outcome]]);
    else outcomes.push([number, outcome]);
    this.#wake();
  }

  get waiting(): boolean {
    return this.#waiting.size > 0;
  }

  /**
   * Sends what waits, in messages that fit a frame. Without a connection an answer is dropped: the
   * asker has seen it break, and reported "unknown".
   */
  flush(): void {
    if (this.#waiting.size === 0) return;
    for (const [to, outcomes] of this.#waiting) {
      for (const portion of portions(outcomes)) this.#send(to, { type: "forward-result", outcomes: portion });
    }
    this.#waiting.clear();
  }
}

function portions(outcomes: readonly Numbered[]): Numbered[][] {
  const found: Numbered[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const [number, outcome] of outcomes) {
    const whole = outcomeBytes(outcome);
    const told = whole > limits.forwardResultBytesMax ? abridgedOutcome(outcome) : outcome;
    const size = told === outcome ? whole : outcomeBytes(told);
    bytes += size;
    if (bytes > limits.forwardResultBytesMax) {
      found.push([]);
      bytes = size;
    }
    found.at(-1)?.push([number, told]);
  }
  return found;
}
