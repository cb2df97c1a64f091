import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { seededRandom } from "../../../src/base/prng.ts";
import { checkLinearizable, type HistoryOperation, type SequentialModel } from "./linearizability.ts";
import { type StoreInput, type StoreOutput, type StoreState, storeModel } from "./store-model.ts";

type QueueInput = { readonly enqueue: string } | "dequeue";

/** The FIFO queue of Herlihy and Wing. An enqueue answers "ok", a dequeue the item. */
const queue: SequentialModel<readonly string[], QueueInput, string> = {
  initial: [],
  key: (state) => state.join(),
  step(state, input, output) {
    if (input !== "dequeue") return [[...state, input.enqueue]];
    const [first, ...rest] = state;
    return first === undefined || (output !== undefined && output !== first) ? [] : [rest];
  },
};

type RegisterInput = { readonly write: number } | "read";

const register: SequentialModel<number, RegisterInput, number> = {
  initial: 0,
  key: String,
  step(state, input, output) {
    if (input !== "read") return [input.write];
    return output === undefined || output === state ? [state] : [];
  },
};

/** An operation between two points in time. */
function op<Input, Output>(
  input: Input,
  output: Output | undefined,
  called: number,
  returned: number,
): HistoryOperation<Input, Output> {
  return { input, output, called, returned };
}

const never = Number.POSITIVE_INFINITY;

describe("the examples of Herlihy and Wing (1990), figure 1", () => {
  test("H1: overlapping enqueues may take effect in either order", () => {
    const history = [
      op<QueueInput, string>({ enqueue: "x" }, "ok", 1, 4),
      op<QueueInput, string>({ enqueue: "y" }, "ok", 2, 3),
      op<QueueInput, string>("dequeue", "x", 5, 7),
      op<QueueInput, string>("dequeue", "y", 6, 8),
    ];
    assert.equal(checkLinearizable(queue, history), "linearizable");
  });

  test("H2: what was enqueued first by the clock is dequeued first", () => {
    const history = [
      op<QueueInput, string>({ enqueue: "x" }, "ok", 1, 2),
      op<QueueInput, string>({ enqueue: "y" }, "ok", 3, 4),
      op<QueueInput, string>("dequeue", "y", 5, 6),
    ];
    assert.equal(checkLinearizable(queue, history), "not-linearizable");
  });

  test("H3: an enqueue that did not return yet may have taken effect", () => {
    const history = [
      op<QueueInput, string>({ enqueue: "x" }, undefined, 1, never),
      op<QueueInput, string>("dequeue", "x", 2, 3),
    ];
    assert.equal(checkLinearizable(queue, history), "linearizable");
  });

  test("H4: an item is dequeued once", () => {
    const history = [
      op<QueueInput, string>({ enqueue: "x" }, "ok", 1, 4),
      op<QueueInput, string>({ enqueue: "y" }, "ok", 2, 3),
      op<QueueInput, string>("dequeue", "y", 5, 7),
      op<QueueInput, string>("dequeue", "y", 6, 8),
    ];
    assert.equal(checkLinearizable(queue, history), "not-linearizable");
  });
});

describe("a register", () => {
  test("reads that overlap a write see the old or the new value", () => {
    const history = [
      op<RegisterInput, number>({ write: 100 }, 0, 1, 10),
      op<RegisterInput, number>("read", 100, 2, 6),
      op<RegisterInput, number>("read", 0, 3, 4),
    ];
    assert.equal(checkLinearizable(register, history), "linearizable");
  });

  test("a value that was read is not unread", () => {
    const history = [
      op<RegisterInput, number>({ write: 200 }, 0, 1, 10),
      op<RegisterInput, number>("read", 200, 2, 4),
      op<RegisterInput, number>("read", 0, 5, 6),
    ];
    assert.equal(checkLinearizable(register, history), "not-linearizable");
  });

  test("a write of unknown outcome takes effect at most once", () => {
    const history = [
      op<RegisterInput, number>({ write: 1 }, undefined, 1, never),
      op<RegisterInput, number>({ write: 2 }, 0, 2, 3),
      op<RegisterInput, number>("read", 1, 4, 5),
      op<RegisterInput, number>({ write: 3 }, 0, 6, 7),
      op<RegisterInput, number>("read", 1, 8, 9),
    ];
    assert.equal(checkLinearizable(register, history), "not-linearizable");
    assert.equal(checkLinearizable(register, history.slice(0, 4)), "linearizable");
  });

  test("gives up after so many steps", () => {
    const history: HistoryOperation<RegisterInput, number>[] = [];
    for (let at = 0; at < 14; at++)
      history.push(op<RegisterInput, number>({ write: at }, undefined, at, never));
    history.push(op<RegisterInput, number>("read", 99, 20, 21));
    assert.equal(checkLinearizable(register, history, 500), "undecided");
  });
});

/** Tries every order: the definition, word by word. */
function bruteForce(
  model: SequentialModel<StoreState, StoreInput, StoreOutput>,
  history: readonly HistoryOperation<StoreInput, StoreOutput>[],
): boolean {
  const place = (left: readonly HistoryOperation<StoreInput, StoreOutput>[], state: StoreState): boolean => {
    if (left.every(({ returned }) => returned === never)) return true;
    return left.some((operation) => {
      if (left.some((other) => other.returned < operation.called)) return false;
      const rest = left.filter((other) => other !== operation);
      return model.step(state, operation.input, operation.output).some((next) => place(rest, next));
    });
  };
  return place(history, model.initial);
}

describe("the store", () => {
  test("agrees with trying every order, on random histories", () => {
    for (let seed = 1; seed <= 3000; seed++) {
      const history = randomHistory(seed);
      const expected = bruteForce(storeModel, history) ? "linearizable" : "not-linearizable";
      assert.equal(checkLinearizable(storeModel, history), expected, `seed ${seed}`);
    }
  });

  test("a put that was applied twice shows in the version", () => {
    const seen = { key: "a", value: "x", version: 2, mod: 3 };
    const put: StoreInput = { conditions: [], success: [{ op: "put", key: "a", value: "x" }], failure: [] };
    const get: StoreInput = { conditions: [], success: [{ op: "get", key: "a" }], failure: [] };
    const history = [
      op<StoreInput, StoreOutput>(put, { succeeded: true, revision: 2, results: [undefined] }, 1, 2),
      op<StoreInput, StoreOutput>(get, { succeeded: true, revision: 3, results: [[seen]] }, 3, 4),
    ];
    assert.equal(checkLinearizable(storeModel, history), "not-linearizable");
  });

  test("two transactions on the same condition do not both succeed", () => {
    const claim = (value: string): StoreInput => ({
      conditions: [{ key: "g/0", target: "version", equals: 0 }],
      success: [
        { op: "put", key: "g/0", value },
        { op: "put", key: "g/1", value },
      ],
      failure: [{ op: "list" }],
    });
    const done = (revision: number): StoreOutput => ({
      succeeded: true,
      revision,
      results: [undefined, undefined],
    });
    const history = [
      op<StoreInput, StoreOutput>(claim("x"), done(2), 1, 3),
      op<StoreInput, StoreOutput>(claim("y"), done(3), 2, 4),
    ];
    assert.equal(checkLinearizable(storeModel, history), "not-linearizable");
    assert.equal(checkLinearizable(storeModel, history.slice(0, 1)), "linearizable");
  });
});

/** A few operations on one key, answered as a store would, or sometimes as it would not. */
function randomHistory(seed: number): HistoryOperation<StoreInput, StoreOutput>[] {
  const random = seededRandom(seed);
  const history: HistoryOperation<StoreInput, StoreOutput>[] = [];
  const count = 2 + random.below(4);
  let state: StoreState = storeModel.initial;
  let time = 0;
  for (let number = 0; number < count; number++) {
    const called = time + random.below(3);
    const returned = called + 1 + random.below(6);
    time = called;
    const input = randomInput(random.below(4), `v${number}`, random.below(3));
    const answer = answerOf(state, input, number + 2, random.float() < 0.25);
    state = answer.state;
    const unknown = random.float() < 0.2;
    history.push(
      op(input, unknown ? undefined : answer.output, called * 10 + number, unknown ? never : returned * 10),
    );
  }
  return history;
}

function randomInput(kind: number, value: string, version: number): StoreInput {
  const get = { op: "get", key: "a" } as const;
  switch (kind) {
    case 0:
      return { conditions: [], success: [{ op: "put", key: "a", value }], failure: [] };
    case 1:
      return { conditions: [], success: [{ op: "delete", key: "a" }], failure: [] };
    case 2:
      return { conditions: [], success: [get], failure: [] };
    default:
      return {
        conditions: [{ key: "a", target: "version", equals: version }],
        success: [{ op: "put", key: "a", value }],
        failure: [get],
      };
  }
}

function answerOf(
  state: StoreState,
  input: StoreInput,
  revision: number,
  lie: boolean,
): { readonly state: StoreState; readonly output: StoreOutput } {
  for (const succeeded of [true, false]) {
    for (const deleted of [0, 1]) {
      const steps = succeeded ? input.success : input.failure;
      const results = steps.map((step) => {
        if (step.op === "delete") return deleted;
        if (step.op === "put") return undefined;
        return [...state].map(([key, { value, version, mod }]) => ({ key, value, version, mod: mod ?? 0 }));
      });
      const output = { succeeded, revision, results };
      const next = storeModel.step(state, input, output)[0];
      if (next === undefined) continue;
      if (!lie) return { state: next, output };
      return { state, output: { ...output, succeeded: !succeeded && input.conditions.length > 0 } };
    }
  }
  throw new Error("the model allows no answer");
}
