/**
 * Decides whether a history is linearizable (Herlihy and Wing, 1990): whether all operations can be
 * put in one order that a sequential model allows and in which an operation that ended before
 * another began stands before it. The search is that of Wing and Gong (1993) with Lowe's
 * memory of configurations already tried (2016).
 */

/** What the object would do if it were one thing in one place. */
export interface SequentialModel<State, Input, Output> {
  readonly initial: State;
  /**
   * The states that may follow when `input` takes effect and answers `output`; none when it cannot
   * answer so. `output` is `undefined` when the caller never learned it.
   */
  step(state: State, input: Input, output: Output | undefined): readonly State[];
  /** Equal for equal states. */
  key(state: State): string;
}

/** One operation of a client, by the order of events in which it was called and answered. */
export interface HistoryOperation<Input, Output> {
  readonly input: Input;
  /** `undefined`: the caller does not know whether it took effect, now or at any later time. */
  readonly output: Output | undefined;
  readonly called: number;
  /** `Infinity` when it was never answered. */
  readonly returned: number;
}

export type Verdict = "linearizable" | "not-linearizable" | "undecided";

interface Call<Input, Output> {
  readonly operation: HistoryOperation<Input, Output>;
  readonly number: number;
  previous: Call<Input, Output> | undefined;
  next: Call<Input, Output> | undefined;
}

interface Choice<State, Input, Output> {
  readonly call: Call<Input, Output>;
  readonly before: State;
  /** States that were not tried yet. */
  readonly others: State[];
}

/** Searches at most `stepsMax` steps before it gives up as undecided. */
export function checkLinearizable<State, Input, Output>(
  model: SequentialModel<State, Input, Output>,
  history: readonly HistoryOperation<Input, Output>[],
  stepsMax = 1_000_000,
): Verdict {
  return new Search(model, history).run(stepsMax);
}

class Search<State, Input, Output> {
  readonly #model: SequentialModel<State, Input, Output>;
  /** Calls that are not yet in the order, sorted by when they were called. */
  #first: Call<Input, Output> | undefined;
  /** How many answered calls are not in the order yet. */
  #missing = 0;
  #state: State;
  readonly #done: Uint32Array;
  readonly #chosen: Choice<State, Input, Output>[] = [];
  readonly #tried = new Set<string>();

  constructor(
    model: SequentialModel<State, Input, Output>,
    history: readonly HistoryOperation<Input, Output>[],
  ) {
    this.#model = model;
    this.#state = model.initial;
    this.#done = new Uint32Array((history.length + 31) >>> 5);
    const sorted = [...history].sort((a, b) => a.called - b.called);
    let last: Call<Input, Output> | undefined;
    sorted.forEach((operation, number) => {
      const call: Call<Input, Output> = { operation, number, previous: last, next: undefined };
      if (last === undefined) this.#first = call;
      else last.next = call;
      last = call;
      if (operation.returned !== Number.POSITIVE_INFINITY) this.#missing++;
    });
  }

  run(stepsMax: number): Verdict {
    let at = this.#first;
    let horizon = this.#horizon();
    for (let steps = 0; this.#missing > 0; steps++) {
      if (steps >= stepsMax) return "undecided";
      // Whoever was called after another had returned cannot stand before that other.
      if (at !== undefined && at.operation.called < horizon) {
        const states = this.#model.step(this.#state, at.operation.input, at.operation.output);
        if (this.#choose(at, states)) {
          at = this.#first;
          horizon = this.#horizon();
        } else {
          at = at.next;
        }
        continue;
      }
      const undone = this.#undo();
      if (undone === undefined) return "not-linearizable";
      if (undone.again) {
        at = this.#first;
      } else {
        at = undone.call.next;
      }
      horizon = this.#horizon();
    }
    return "linearizable";
  }

  /** The earliest return among the calls that are not in the order. */
  #horizon(): number {
    let earliest = Number.POSITIVE_INFINITY;
    for (let call = this.#first; call !== undefined; call = call.next) {
      if (call.operation.called >= earliest) break;
      earliest = Math.min(earliest, call.operation.returned);
    }
    return earliest;
  }

  /** Puts the call into the order, unless every state it leads to was tried in this configuration. */
  #choose(call: Call<Input, Output>, states: readonly State[]): boolean {
    this.#mark(call, true);
    const fresh = states.filter((state) => this.#remember(state));
    const state = fresh.pop();
    if (state === undefined) {
      this.#mark(call, false);
      return false;
    }
    this.#chosen.push({ call, before: this.#state, others: fresh });
    this.#state = state;
    this.#unlink(call);
    return true;
  }

  #undo(): { readonly call: Call<Input, Output>; readonly again: boolean } | undefined {
    const choice = this.#chosen[this.#chosen.length - 1];
    if (choice === undefined) return undefined;
    const other = choice.others.pop();
    if (other !== undefined) {
      this.#state = other;
      return { call: choice.call, again: true };
    }
    this.#chosen.pop();
    this.#state = choice.before;
    this.#mark(choice.call, false);
    this.#link(choice.call);
    return { call: choice.call, again: false };
  }

  #remember(state: State): boolean {
    const configuration = `${this.#done.join(",")}|${this.#model.key(state)}`;
    if (this.#tried.has(configuration)) return false;
    this.#tried.add(configuration);
    return true;
  }

  #mark(call: Call<Input, Output>, done: boolean): void {
    const word = call.number >>> 5;
    const bit = 1 << (call.number & 31);
    const value = this.#done[word] ?? 0;
    this.#done[word] = done ? value | bit : value & ~bit;
  }

  #unlink(call: Call<Input, Output>): void {
    if (call.previous === undefined) this.#first = call.next;
    else call.previous.next = call.next;
    if (call.next !== undefined) call.next.previous = call.previous;
    if (call.operation.returned !== Number.POSITIVE_INFINITY) this.#missing--;
  }

  #link(call: Call<Input, Output>): void {
    if (call.previous === undefined) this.#first = call;
    else call.previous.next = call;
    if (call.next !== undefined) call.next.previous = call;
    if (call.operation.returned !== Number.POSITIVE_INFINITY) this.#missing++;
  }
}
