import type { SequentialModel } from "./linearizability.ts";

/** A key as a reader saw it. */
export interface Seen {
  readonly key: string;
  readonly value: string;
  readonly version: number;
  readonly mod: number;
}

export type Step =
  | { readonly op: "put"; readonly key: string; readonly value: string }
  | { readonly op: "delete"; readonly key: string }
  | { readonly op: "get"; readonly key: string }
  /** All keys of the model. */
  | { readonly op: "list" };

export interface Condition {
  readonly key: string;
  readonly target: "value" | "version" | "mod";
  readonly equals: string | number;
}

/** Any operation on the store: when all conditions hold the first steps run, otherwise the others. */
export interface StoreInput {
  readonly conditions: readonly Condition[];
  readonly success: readonly Step[];
  readonly failure: readonly Step[];
}

export interface StoreOutput {
  readonly succeeded: boolean;
  /** The store's revision after it. */
  readonly revision: number;
  /** Per step: keys deleted, or keys seen. */
  readonly results: readonly (number | readonly Seen[] | undefined)[];
}

/** A live key; `mod` is `undefined` while nobody was told at which revision it was written. */
interface Cell {
  readonly value: string;
  readonly version: number;
  readonly mod: number | undefined;
}

/** Keys in order, and their cells. */
export type StoreState = ReadonlyMap<string, Cell>;

/** Some keys of the store, as one object: etcd's words without leases. */
export const storeModel: SequentialModel<StoreState, StoreInput, StoreOutput> = {
  initial: new Map(),
  key(state) {
    let text = "";
    for (const [key, { value, version, mod }] of state) text += `${key}=${value}#${version}@${mod};`;
    return text;
  },
  step(state, input, output) {
    const branches = output === undefined ? [true, false] : [output.succeeded];
    const next: StoreState[] = [];
    for (const succeeded of branches) {
      const assumed = assume(state, input.conditions, succeeded);
      if (assumed === undefined) continue;
      const after = run(assumed, succeeded ? input.success : input.failure, output);
      if (after !== undefined) next.push(after);
    }
    return next;
  },
};

/** The state, with what follows for it when the conditions hold (or not); `undefined` when they cannot. */
function assume(
  state: StoreState,
  conditions: readonly Condition[],
  wanted: boolean,
): StoreState | undefined {
  let possible = false;
  for (const condition of conditions) {
    const verdict = holds(state.get(condition.key), condition);
    if (verdict === false) return wanted ? undefined : state;
    if (verdict === undefined) possible = true;
  }
  return wanted || possible ? state : undefined;
}

function holds(cell: Cell | undefined, { target, equals }: Condition): boolean | undefined {
  switch (target) {
    case "value":
      return cell !== undefined && cell.value === equals;
    case "version":
      return (cell?.version ?? 0) === equals;
    case "mod":
      if (cell === undefined) return equals === 0;
      return cell.mod === undefined ? undefined : cell.mod === equals;
  }
}

function run(
  state: StoreState,
  steps: readonly Step[],
  output: StoreOutput | undefined,
): StoreState | undefined {
  const cells = new Map(state);
  let at = 0;
  for (const step of steps) {
    const result = output?.results[at++];
    if (!runStep(cells, step, output, result)) return undefined;
  }
  return sorted(cells);
}

function runStep(
  cells: Map<string, Cell>,
  step: Step,
  output: StoreOutput | undefined,
  result: StoreOutput["results"][number],
): boolean {
  switch (step.op) {
    case "put": {
      const version = (cells.get(step.key)?.version ?? 0) + 1;
      cells.set(step.key, { value: step.value, version, mod: output?.revision });
      return true;
    }
    case "delete": {
      const deleted = cells.delete(step.key) ? 1 : 0;
      return output === undefined || result === deleted;
    }
    case "get":
      return output === undefined || saw(cells, [step.key], result);
    case "list":
      return output === undefined || saw(cells, undefined, result);
  }
}

/** Whether the seen keys are those that are there; what was not known of them is known then. */
function saw(
  cells: Map<string, Cell>,
  keys: readonly string[] | undefined,
  result: StoreOutput["results"][number],
): boolean {
  if (typeof result !== "object") return false;
  const expected = keys === undefined ? cells.size : keys.filter((key) => cells.has(key)).length;
  if (result.length !== expected) return false;
  for (const { key, value, version, mod } of result) {
    const cell = cells.get(key);
    if (cell === undefined || cell.value !== value || cell.version !== version) return false;
    if (cell.mod !== undefined && cell.mod !== mod) return false;
    if (cell.mod === undefined) cells.set(key, { value, version, mod });
  }
  return true;
}

function sorted(cells: Map<string, Cell>): StoreState {
  return cells.size < 2 ? cells : new Map([...cells].sort(([a], [b]) => (a < b ? -1 : 1)));
}
