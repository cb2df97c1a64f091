import { getLogger } from "@logtape/logtape";
import * as v from "valibot";
import { CoracleError } from "../base/errors.ts";
import type { MemberId } from "../raft/types.ts";
import { parsePeerBody } from "./admin.ts";
import type { NodeAccess, NodePart, NodePartFactory } from "./part.ts";
import type { RequestHandler } from "./requests.ts";

const log = getLogger(["coracle", "node"]);

const askMs = 2000;

const index = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const hash = v.pipe(v.string(), v.maxLength(64));
const hashesSchema = v.pipe(v.array(v.strictTuple([index, hash])), v.maxLength(1024));
const differsSchema = v.strictObject({ index, hash });

export interface StateComparisonOptions {
  /** Time between two comparisons. */
  readonly everyMs: number;
  /** This member's state is not what the log made of it elsewhere: it must serve nothing more. */
  readonly condemn: (reason: string) => void;
}

/** What a comparison found. */
export interface Comparison {
  /** The index at which states were compared; `undefined` when the members have none in common. */
  readonly index: number | undefined;
  readonly equal: readonly MemberId[];
  readonly differing: readonly MemberId[];
}

/**
 * Compares what the log made of the state on all members. Every member remembers hashes at agreed
 * indexes; the leader collects them from time to time. Whose hash differs from that of a majority of the
 * voters is told so, and ends: a bug, or a bit that flipped in memory, made something else of the log.
 */
export function stateComparison(options: StateComparisonOptions): NodePartFactory {
  return (node) => new StateComparison(options, node);
}

export class StateComparison implements NodePart {
  readonly requests: ReadonlyMap<string, RequestHandler>;
  readonly #options: StateComparisonOptions;
  readonly #node: NodeAccess;
  #leading = false;
  #comparedMs: number;
  #working = false;

  constructor(options: StateComparisonOptions, node: NodeAccess) {
    this.#options = options;
    this.#node = node;
    this.#comparedMs = node.clock.nowMs();
    this.requests = new Map<string, RequestHandler>([
      ["state-hashes", async () => this.#node.state().hashes.all()],
      ["state-differs", async (body, from) => this.#told(parsePeerBody(differsSchema, body, from))],
      ["compare-states", async () => this.compare()],
    ]);
  }

  leading(term: number | undefined): void {
    this.#leading = term !== undefined;
  }

  duty(): void {
    const nowMs = this.#node.clock.nowMs();
    if (!this.#leading || this.#working || nowMs - this.#comparedMs < this.#options.everyMs) return;
    this.#comparedMs = nowMs;
    this.#working = true;
    void this.compare()
      .then(({ index: at, differing }) => {
        if (at !== undefined && differing.length === 0)
          log.debug("All states are equal at index {index}.", { index: at });
      })
      .finally(() => {
        this.#working = false;
      });
  }

  /** Compares now, and has those end that differ from a majority of the voters. */
  async compare(): Promise<Comparison> {
    const { self } = this.#node;
    const { conf } = this.#node.raft();
    const own: ReadonlyMap<number, string> = new Map(this.#node.state().hashes.all());
    const answers = new Map([[self, own]]);
    await Promise.all(
      [...conf.voters, ...conf.learners].map(async (member) => {
        if (member === self) return;
        const hashes = await this.#hashesOf(member).catch(() => undefined);
        if (hashes !== undefined) answers.set(member, hashes);
      }),
    );
    const found = judge(answers, conf.voters);
    if (found === undefined) return { index: undefined, equal: [], differing: [] };
    const differing = found.differing.filter((member) => member !== self);
    await Promise.all(
      differing.map(async (member) => {
        log.error("The state of member {member} at index {index} is not that of the majority.", {
          member,
          index: found.index,
        });
        const body = { index: found.index, hash: found.hash };
        await this.#node.ask(member, "state-differs", body, askMs).catch(() => undefined);
      }),
    );
    if (found.differing.includes(self)) this.#told({ index: found.index, hash: found.hash });
    return { index: found.index, equal: found.equal, differing: found.differing };
  }

  async #hashesOf(member: MemberId): Promise<ReadonlyMap<number, string>> {
    const body = await this.#node.ask(member, "state-hashes", null, askMs);
    return new Map(parsePeerBody(hashesSchema, body, member));
  }

  /** A majority has this hash at this index. It counts what this member itself remembers. */
  #told({ index: at, hash: theirs }: v.InferOutput<typeof differsSchema>): null {
    const own = this.#node.state().hashes.at(at);
    if (own === undefined || own === theirs) {
      throw new CoracleError("invalid_argument", `The state at index ${at} does not differ here.`);
    }
    this.#options.condemn(
      `at index ${at} it has the hash ${own}, and a majority of the members has ${theirs}.`,
    );
    return null;
  }
}

interface Finding {
  readonly index: number;
  readonly hash: string;
  readonly equal: readonly MemberId[];
  readonly differing: readonly MemberId[];
}

/** At the newest index that a majority of the voters remembers with one hash. */
export function judge(
  answers: ReadonlyMap<MemberId, ReadonlyMap<number, string>>,
  voters: readonly MemberId[],
): Finding | undefined {
  const indexes = new Set([...answers.values()].flatMap((hashes) => [...hashes.keys()]));
  for (const at of [...indexes].sort((a, b) => b - a)) {
    const votes = new Map<string, number>();
    for (const voter of voters) {
      const own = answers.get(voter)?.get(at);
      if (own !== undefined) votes.set(own, (votes.get(own) ?? 0) + 1);
    }
    for (const [common, count] of votes) {
      if (count * 2 <= voters.length) continue;
      const known = [...answers].filter(([, hashes]) => hashes.has(at));
      const has = ([, hashes]: readonly [MemberId, ReadonlyMap<number, string>]): boolean =>
        hashes.get(at) === common;
      return {
        index: at,
        hash: common,
        equal: known.filter(has).map(([member]) => member),
        differing: known.filter((answer) => !has(answer)).map(([member]) => member),
      };
    }
  }
  return undefined;
}
