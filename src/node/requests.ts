import type { Clock, Timer } from "../base/clock.ts";
import { CoracleError, messageOf } from "../base/errors.ts";
import { firstNumber, type Random } from "../base/prng.ts";
import type { PeerMessage } from "../peer/types.ts";
import type { MemberId } from "../raft/types.ts";

/** Answers a question of another member. Throws `CoracleError` for what the asker must know. */
export type RequestHandler = (body: unknown, from: MemberId) => Promise<unknown>;

interface Waiting {
  readonly to: MemberId;
  readonly timer: Timer;
  resolve(body: unknown): void;
  reject(error: CoracleError): void;
}

/** Questions and answers between members over their standing connections. */
export class PeerRequests {
  readonly #clock: Clock;
  readonly #send: (to: MemberId, message: PeerMessage) => boolean;
  readonly #handler: (name: string) => RequestHandler | undefined;
  readonly #waiting = new Map<number, Waiting>();
  #nextId: number;

  constructor(options: {
    readonly clock: Clock;
    readonly random: Random;
    readonly send: (to: MemberId, message: PeerMessage) => boolean;
    readonly handler: (name: string) => RequestHandler | undefined;
  }) {
    this.#clock = options.clock;
    this.#nextId = firstNumber(options.random);
    this.#send = options.send;
    this.#handler = options.handler;
  }

  /**
   * Asks a member.
   *
   * @throws CoracleError of the other side; `not_proposed` when the question was never sent;
   * `outcome_unknown` when it was sent and no answer came.
   */
  ask(to: MemberId, name: string, body: unknown, timeoutMs: number): Promise<unknown> {
    const id = this.#nextId++;
    if (!this.#send(to, { type: "request", id, name, body })) {
      return Promise.reject(
        new CoracleError("not_proposed", `There is no connection to member ${to} now; try again.`),
      );
    }
    return new Promise((resolve, reject) => {
      const timer = this.#clock.after(timeoutMs, () => {
        this.#waiting.delete(id);
        reject(
          new CoracleError(
            "outcome_unknown",
            `Member ${to} did not answer "${name}" within ${timeoutMs} ms.`,
          ),
        );
      });
      this.#waiting.set(id, { to, timer, resolve, reject });
    });
  }

  onMessage(
    from: MemberId,
    message: Extract<PeerMessage, { type: "request" | "response" | "request-failed" }>,
  ): void {
    if (message.type === "request") {
      this.#serve(from, message.id, message.name, message.body);
      return;
    }
    const waiting = this.#waiting.get(message.id);
    if (waiting === undefined || waiting.to !== from) return;
    this.#waiting.delete(message.id);
    waiting.timer.cancel();
    if (message.type === "response") waiting.resolve(message.body);
    else waiting.reject(new CoracleError(message.code, message.message));
  }

  disconnected(member: MemberId): void {
    for (const [id, waiting] of this.#waiting) {
      if (waiting.to !== member) continue;
      this.#waiting.delete(id);
      waiting.timer.cancel();
      waiting.reject(
        new CoracleError("outcome_unknown", `The connection to member ${member} broke before it answered.`),
      );
    }
  }

  #serve(from: MemberId, id: number, name: string, body: unknown): void {
    const handler = this.#handler(name);
    const answer =
      handler === undefined
        ? Promise.reject(
            new CoracleError("invalid_argument", `This member knows no request named "${name}".`),
          )
        : handler(body, from);
    answer.then(
      (result) => {
        this.#send(from, { type: "response", id, body: result });
      },
      (error: unknown) => {
        const code = error instanceof CoracleError ? error.code : "internal";
        this.#send(from, { type: "request-failed", id, code, message: messageOf(error) });
      },
    );
  }
}
