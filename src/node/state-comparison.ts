import { getLogger } from "@logtape/logtape";
import * as v from "valibot";
import { messageOf } from "../base/errors.ts";
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
 * voters is told so. It believes no single member: it asks all of them itself, and ends when a majority
 * of all voters says the same, and it another. A bug, or a bit that flipped in memory, made something else
 * of the log.
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
  #checking: Promise<void> | undefined;

  constructor(options: StateComparisonOptions, node: NodeAccess) {
    this.#options = options;
    this.#node = node;
    this.#comparedMs = node.clock.nowMs();
    this.requests = new Map<string, RequestHandler>([
      ["state-hashes", async () => this.#node.state().hashes.all()],
      ["state-differs", async (body, from) => this.#told(parsePeerBody(differsSchema, body, from), from)],
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
      .catch((error: unknown) => {
        log.error("The states of the members could not be compared: {reason}", { reason: messageOf(error) });
      })
      .finally(() => {
        this.#working = false;
      });
  }

  /** Compares now, and has those end that differ from a majority of the voters. */
  async compare(): Promise<Comparison> {
    const { self } = this.#node;
    const { index: at, equal, differing } = await this.#judged();
    this.#end(differing.get(self));
    await Promise.all(
      [...differing].map(async ([member, difference]) => {
        if (member === self) return;
        log.error("The state of member {member} at index {index} is not that of the majority.", {
          member,
          index: difference.index,
        });
        const body = { index: difference.index, hash: difference.common };
        await this.#node.ask(member, "state-differs", body, askMs).catch(() => undefined);
      }),
    );
    return { index: at, equal, differing: [...differing.keys()] };
  }

  /** What all members remember now, judged. What is answered counts, whatever is forgotten meanwhile. */
  async #judged(): Promise<Finding> {
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
    return judge(answers, conf.voters);
  }

  async #hashesOf(member: MemberId): Promise<ReadonlyMap<number, string>> {
    const body = await this.#node.ask(member, "state-hashes", null, askMs);
    return new Map(parsePeerBody(hashesSchema, body, member));
  }

  /** Another member found that this one differs; this one looks for itself. */
  async #told({ index: at }: v.InferOutput<typeof differsSchema>, from: MemberId): Promise<null> {
    log.warn("Member {from} says that this state differs at index {index}; asking all members.", {
      from,
      index: at,
    });
    this.#checking ??= this.#judged()
      .then(({ differing }) => this.#end(differing.get(this.#node.self)))
      .finally(() => {
        this.#checking = undefined;
      });
    await this.#checking;
    return null;
  }

  #end(difference: Difference | undefined): void {
    if (difference === undefined) return;
    const { index: at, own, common } = difference;
    this.#options.condemn(
      `at index ${at} it has the hash ${own}, and a majority of the members has ${common}.`,
    );
  }
}

/** A member's hash at an index where a majority of all voters has another one. */
interface Difference {
  readonly index: number;
  readonly own: string;
  readonly common: string;
}

interface Finding {
  /** The newest index at which a majority of all voters agrees, if there is one. */
  readonly index: number | undefined;
  /** Members that agree with it there. */
  readonly equal: readonly MemberId[];
  /** By member: where it was last seen to differ. Who lags behind is judged by what it has. */
  readonly differing: ReadonlyMap<MemberId, Difference>;
}

/**
 * Judges each member at the indexes where a majority of all voters remembers one hash. Hashes that were
 * made in different ways cannot be compared: members of another release are passed over.
 */
export function judge(
  answers: ReadonlyMap<MemberId, ReadonlyMap<number, string>>,
  voters: readonly MemberId[],
): Finding {
  const indexes = new Set([...answers.values()].flatMap((hashes) => [...hashes.keys()]));
  const differing = new Map<MemberId, Difference>();
  let newest: number | undefined;
  let equal: MemberId[] = [];
  for (const at of [...indexes].sort((a, b) => b - a)) {
    const common = majorityAt(at, answers, voters);
    if (common === undefined) continue;
    if (newest === undefined) {
      newest = at;
      equal = [...answers].filter(([, hashes]) => hashes.get(at) === common).map(([member]) => member);
    }
    for (const [member, hashes] of answers) {
      const own = hashes.get(at);
      if (own === undefined || own === common || versionOf(own) !== versionOf(common)) continue;
      if (!differing.has(member)) differing.set(member, { index: at, own, common });
    }
  }
  return { index: newest, equal, differing };
}

function majorityAt(
  at: number,
  answers: ReadonlyMap<MemberId, ReadonlyMap<number, string>>,
  voters: readonly MemberId[],
): string | undefined {
  const votes = new Map<string, number>();
  for (const voter of voters) {
    const own = answers.get(voter)?.get(at);
    if (own !== undefined) votes.set(own, (votes.get(own) ?? 0) + 1);
  }
  return [...votes].find(([, count]) => count * 2 > voters.length)?.[0];
}

/** What stands before the colon. */
function versionOf(versioned: string): string {
  return versioned.slice(0, versioned.indexOf(":"));
}
