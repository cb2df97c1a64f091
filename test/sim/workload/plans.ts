import type { Random } from "../../../src/base/prng.ts";
import type { RangeOperation } from "../../../src/kv/types.ts";
import type { Condition, Seen, Step, StoreInput } from "../checkers/store-model.ts";
import { between, chance, pick, pickWeighted } from "../engine/streams.ts";
import { groupPrefix } from "./commands.ts";

/** How a client asks: by a command through the log, or by a read of one of three kinds. */
export type Way =
  | "command"
  | "linearizable"
  | "serializable"
  | "bounded"
  | "past"
  | "compact"
  | "past in a transaction";

export interface Plan {
  readonly kind: string;
  readonly object: string;
  readonly input: StoreInput;
  readonly way: Way;
  readonly marks: readonly string[];
  /** What of a range is asked for, and how; judged by `LocalReads` alone. */
  readonly range?: RangeOptions;
  /** Of a bounded read; any when absent. */
  readonly maxStaleMs?: number;
  /** Sent again with the same Idempotency-Key until its outcome is known. */
  readonly idempotent: boolean;
}

export type RangeOptions = Omit<RangeOperation, "type" | "key" | "end" | "revision">;

/** Everything that a range may be asked for: limits, orders and filters. */
function someOptions(random: Random): RangeOptions {
  const target = pick(random, ["key", "version", "create", "mod", "value"] as const);
  const some = (): number => (chance(random, 0.15) ? random.below(150) : 0);
  return {
    limit: pick(random, [0, 0, 1, 2]),
    ...(chance(random, 0.4) ? { sort: { target, descending: chance(random, 0.5) } } : {}),
    keysOnly: chance(random, 0.15),
    countOnly: chance(random, 0.1),
    minModRevision: some(),
    maxModRevision: some(),
    minCreateRevision: some(),
    maxCreateRevision: some(),
  };
}

/** What a client remembers of the keys that it saw, to make conditions that sometimes hold. */
export type Memory = Map<string, Seen | undefined>;

const registers = ["a", "b", "c", "d"];
const groupKeys = ["0", "1", "2"].map((name) => `${groupPrefix}${name}`);

export interface PlanContext {
  readonly random: Random;
  readonly memory: Memory;
  readonly weights: Weights;
  mark(): string;
}

type Maker = (context: PlanContext) => Omit<Plan, "kind">;

function steps(success: readonly Step[]): StoreInput {
  return { conditions: [], success, failure: [] };
}

function writing(object: string, input: StoreInput, idempotent: boolean): Omit<Plan, "kind"> {
  const marks = [...input.success, ...input.failure].flatMap((step) =>
    step.op === "put" ? [step.value] : [],
  );
  return { object, input, way: "command", marks, idempotent };
}

function reading(object: string, step: Step, way: Way): Omit<Plan, "kind"> {
  return { object, input: steps([step]), way, marks: [], idempotent: false };
}

/** A condition on a key that holds if nobody changed it since this client saw it. */
function conditionOn({ random, memory }: PlanContext, key: string): Condition {
  const seen = memory.get(key);
  if (seen === undefined) return { key, target: pick(random, ["version", "mod"] as const), equals: 0 };
  const target = pick(random, ["value", "version", "mod"] as const);
  return { key, target, equals: seen[target] };
}

function idempotent(random: Random): boolean {
  return chance(random, 0.4);
}

/**
 * The operations that clients do, by name. A new feature adds its operations here, and to the
 * weights below; what its answers must be is said by its checker.
 */
const makers = {
  put: (context) => {
    const key = pick(context.random, registers);
    return writing(key, steps([{ op: "put", key, value: context.mark() }]), idempotent(context.random));
  },
  delete: (context) => {
    const key = pick(context.random, registers);
    return writing(key, steps([{ op: "delete", key }]), idempotent(context.random));
  },
  "compare-and-set": (context) => {
    const key = pick(context.random, registers);
    const input: StoreInput = {
      conditions: [conditionOn(context, key)],
      success: [{ op: "put", key, value: context.mark() }],
      failure: [{ op: "get", key }],
    };
    return writing(key, input, idempotent(context.random));
  },
  transaction: (context) => {
    const { random } = context;
    const key = pick(random, groupKeys);
    const others = groupKeys.filter((other) => other !== key);
    const input: StoreInput = {
      conditions: chance(random, 0.7) ? [conditionOn(context, key)] : [],
      success: [
        { op: "put", key, value: context.mark() },
        chance(random, 0.7)
          ? { op: "put", key: pick(random, others), value: context.mark() }
          : { op: "delete", key: pick(random, others) },
        { op: "list" },
      ],
      failure: [{ op: "list" }],
    };
    return writing(groupPrefix, input, idempotent(random));
  },
  get: ({ random }) => {
    const key = pick(random, registers);
    return reading(key, { op: "get", key }, "linearizable");
  },
  list: () => reading(groupPrefix, { op: "list" }, "linearizable"),
  "serializable get": ({ random }) => {
    const key = pick(random, registers);
    return reading(key, { op: "get", key }, "serializable");
  },
  "serializable list": () => reading(groupPrefix, { op: "list" }, "serializable"),
  "bounded get": ({ random }) => {
    const key = pick(random, registers);
    return reading(key, { op: "get", key }, "bounded");
  },
  // These three are about revisions that were; which ones, the client decides when it asks.
  "get in the past": ({ random }) => {
    const key = pick(random, registers);
    return reading(key, { op: "get", key }, "past");
  },
  "range in the past": ({ random }) => ({
    ...reading(groupPrefix, { op: "list" }, "past"),
    range: someOptions(random),
  }),
  range: ({ random }) => ({
    ...reading(groupPrefix, { op: "list" }, pick(random, ["linearizable", "serializable", "bounded"])),
    range: someOptions(random),
  }),
  compaction: () => ({
    object: "compaction",
    input: steps([]),
    way: "compact",
    marks: [],
    idempotent: false,
  }),
  "transaction that reads the past": (context) => {
    const mark = context.mark();
    const input = steps([{ op: "put", key: "past", value: mark }]);
    return {
      object: "past",
      input,
      way: "past in a transaction",
      marks: [mark],
      range: someOptions(context.random),
      idempotent: idempotent(context.random),
    };
  },
} as const satisfies Record<string, Maker>;

const weights: Weights = {
  put: 25,
  delete: 6,
  "compare-and-set": 18,
  transaction: 12,
  get: 22,
  list: 7,
  "serializable get": 5,
  "serializable list": 2,
  "bounded get": 5,
  "get in the past": 3,
  "range in the past": 3,
  range: 4,
  compaction: 1,
  "transaction that reads the past": 2,
};

export type Weights = Readonly<Record<keyof typeof makers, number>>;

/** Each seed likes some operations better than others: states that an even mixture rarely reaches. */
export function weightsOf(random: Random): Weights {
  const mood = random.float();
  const factor = (): number => (mood < 0.4 ? 1 : between(random, 0, 1) ** 3 * 8);
  return Object.fromEntries(
    Object.entries(weights).map(([kind, weight]) => [kind, weight * factor()]),
  ) as Weights;
}

export function nextPlan(context: PlanContext): Plan {
  const kind = pickWeighted(context.random, context.weights);
  return { kind, ...makers[kind](context) };
}

/** Reads that see everything at the end. */
export function finalReads(): Plan[] {
  const gets = registers.map((key) => ({
    kind: "final get",
    ...reading(key, { op: "get", key }, "linearizable"),
  }));
  return [...gets, { kind: "final list", ...reading(groupPrefix, { op: "list" }, "linearizable") }];
}

/** A read that may be a little old, and no older. */
export function boundedRead(maxStaleMs: number): Plan {
  const read = reading(groupPrefix, { op: "list" }, "bounded");
  return { kind: "bounded read of a moment", ...read, maxStaleMs };
}

/** A write that shows whether the cluster makes progress. */
export function probe(mark: string, key: string): Plan {
  return { kind: "probe", ...writing(key, steps([{ op: "put", key, value: mark }]), true) };
}
