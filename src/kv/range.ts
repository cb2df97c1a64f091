import { compareBytes, emptyBytes } from "../base/bytes.ts";
import { CoracleError } from "../base/errors.ts";
import { type AnswerBudget, pairBytes } from "./answer-budget.ts";
import type { KeyStore } from "./key-store.ts";
import type { KeyRow } from "./rows.ts";
import type { State } from "./state.ts";
import type { KeyValue, RangeOperation, RangeResult, SortTarget } from "./types.ts";

/**
 * Says why a revision cannot be read, or nothing. 0 and below stand for the present. Reading
 * exactly at the compact revision works.
 */
export function unreadable(revision: number, state: State): CoracleError | undefined {
  if (revision <= 0) return undefined;
  if (revision > state.revision) {
    return new CoracleError(
      "revision_future",
      `Revision ${revision} does not exist yet, the newest is ${state.revision}: ask for that one or an older one.`,
      { current_revision: state.revision },
    );
  }
  if (revision < state.compactRevision) {
    return new CoracleError(
      "revision_compacted",
      `Revision ${revision} has been compacted, the oldest that can be read is ${state.compactRevision}.`,
      { compact_revision: state.compactRevision },
    );
  }
  return undefined;
}

/**
 * Reads a range whose revision is readable. `pending` tells that the transaction around this read
 * has already changed keys: then the present is one revision ahead of the store's. Keys that the
 * budget has no room for are left out as those behind a limit are.
 */
export function readRange(
  op: RangeOperation,
  store: KeyStore,
  state: State,
  pending: boolean,
  budget: AnswerBudget,
): RangeResult {
  const inPresent = op.revision <= 0 || (op.revision === state.revision && !pending);
  const source = inPresent ? new Present(store) : new Past(store, store.lastSeqOf(op.revision));
  const revision = pending ? state.revision + 1 : state.revision;
  if (op.countOnly === true) {
    return { type: "range", revision, keys: [], count: source.count(op), more: false };
  }
  const limit = op.limit > 0 ? op.limit : Number.POSITIVE_INFINITY;
  const inKeyOrder = op.sort === undefined || (op.sort.target === "key" && !op.sort.descending);
  const { keys, more, count } =
    inKeyOrder && !filtered(op)
      ? readInOrder(op, source, limit, budget)
      : readSorted(op, source, limit, budget);
  const result = { type: "range", revision, keys, count, more } as const;
  // Not one key, although there are some: no client may take that for an empty range.
  return more && keys.length === 0 ? { ...result, abridged: true } : result;
}

type Found = Pick<RangeResult, "keys" | "more" | "count">;

/** Reads until the limit or the budget is reached. */
function readInOrder(op: RangeOperation, source: Source, limit: number, budget: AnswerBudget): Found {
  const keys: KeyValue[] = [];
  for (const { bare, whole } of source.rows(op, limit + 1)) {
    const found = keys.length === limit ? undefined : op.keysOnly === true ? bare() : whole();
    if (found === undefined || !budget.take(found)) {
      return { keys, more: true, count: op.uncounted === true ? keys.length : source.count(op) };
    }
    keys.push(found);
  }
  return { keys, more: false, count: keys.length };
}

/**
 * Goes through the whole range, without values where they decide nothing, and keeps the rows that
 * may come into the answer; their values are fetched last.
 */
function readSorted(op: RangeOperation, source: Source, limit: number, budget: AnswerBudget): Found {
  const byValue = op.sort?.target === "value";
  const best = new Best(op, limit, budget.left);
  let count = 0;
  for (const row of source.rows(op, Number.POSITIVE_INFINITY)) {
    count++;
    const found = byValue ? row.whole() : row.bare();
    if (passes(op, found)) best.add({ found, whole: row.whole });
  }
  best.cut();
  const keys: KeyValue[] = [];
  for (const { found, whole } of best.rows) {
    const told = op.keysOnly === true ? { ...found, value: emptyBytes } : byValue ? found : whole();
    if (!budget.take(told)) return { keys, more: true, count };
    keys.push(told);
  }
  return { keys, more: best.dropped, count };
}

interface Candidate {
  /** With its value only when that is what decides. */
  readonly found: KeyValue;
  readonly whole: () => KeyValue;
}

/**
 * The rows that come first in the order of a read. An answer can only have as many from the front as
 * its limit and its budget allow, so the others are dropped now and then, before they fill the memory.
 */
class Best {
  rows: Candidate[] = [];
  /** The first of the rows that were dropped: what comes behind it cannot come into the answer either. */
  #end: Candidate | undefined;
  readonly #compare: ((a: Candidate, b: Candidate) => number) | undefined;
  readonly #limit: number;
  readonly #bytesMax: number;
  #bytes = 0;

  constructor({ sort }: RangeOperation, limit: number, bytesMax: number) {
    this.#limit = limit;
    this.#bytesMax = bytesMax;
    if (sort !== undefined) {
      const compare = order[sort.target];
      const sign = sort.descending ? -1 : 1;
      this.#compare = (a, b) => sign * compare(a.found, b.found);
    }
  }

  /** Rows were dropped: there are more than the answer can have. */
  get dropped(): boolean {
    return this.#end !== undefined;
  }

  add(candidate: Candidate): void {
    // Of equal ones the later is behind, as everything is where nothing is sorted.
    if (this.#end !== undefined && (this.#compare?.(candidate, this.#end) ?? 0) >= 0) return;
    this.rows.push(candidate);
    this.#bytes += pairBytes(candidate.found);
    // Half of it goes, so that each row takes part in few sorts.
    if (this.#bytes > 2 * this.#bytesMax && this.rows.length > 1) this.cut();
  }

  /** Sorts, and drops what cannot come into the answer. The first row stays in any case. */
  cut(): void {
    // Stable: equal keys stay in key order.
    if (this.#compare !== undefined) this.rows.sort(this.#compare);
    this.#bytes = 0;
    const past = this.rows.findIndex(({ found }, index) => {
      const bytes = this.#bytes + pairBytes(found);
      if (index > 0 && (index >= this.#limit || bytes > this.#bytesMax)) return true;
      this.#bytes = bytes;
      return false;
    });
    if (past < 0) return;
    this.#end = this.rows[past];
    this.rows.length = past;
  }
}

const order: Record<SortTarget, (a: KeyValue, b: KeyValue) => number> = {
  key: (a, b) => compareBytes(a.key, b.key),
  version: (a, b) => a.version - b.version,
  create: (a, b) => a.createRevision - b.createRevision,
  mod: (a, b) => a.modRevision - b.modRevision,
  value: (a, b) => compareBytes(a.value, b.value),
};

function filtered(op: RangeOperation): boolean {
  return Boolean(op.minModRevision || op.maxModRevision || op.minCreateRevision || op.maxCreateRevision);
}

function passes(op: RangeOperation, { modRevision, createRevision }: KeyValue): boolean {
  return (
    !(op.minModRevision && modRevision < op.minModRevision) &&
    !(op.maxModRevision && modRevision > op.maxModRevision) &&
    !(op.minCreateRevision && createRevision < op.minCreateRevision) &&
    !(op.maxCreateRevision && createRevision > op.maxCreateRevision)
  );
}

/** A key that was found. What is needed of it is read when it is asked for, and not kept. */
interface FoundRow {
  /** The key with an empty value. */
  readonly bare: () => KeyValue;
  readonly whole: () => KeyValue;
}

/** Where keys come from: the present or one revision of the past. */
interface Source {
  count(op: RangeOperation): number;
  /** In key order, `wanted` at most. */
  rows(op: RangeOperation, wanted: number): Iterable<FoundRow>;
}

class Present implements Source {
  readonly #store: KeyStore;

  constructor(store: KeyStore) {
    this.#store = store;
  }

  count(op: RangeOperation): number {
    return this.#store.count(op);
  }

  *rows(op: RangeOperation, wanted: number): Generator<FoundRow> {
    for (const row of this.#store.rows(op, wanted)) {
      yield { bare: () => bareKeyValue(row), whole: () => this.#store.keyValue(row) };
    }
  }
}

class Past implements Source {
  readonly #store: KeyStore;
  /** Last sequence number of the revision that is read. */
  readonly #at: number;

  constructor(store: KeyStore, at: number) {
    this.#store = store;
    this.#at = at;
  }

  count(op: RangeOperation): number {
    return this.#store.pastCount(op, this.#at);
  }

  *rows(op: RangeOperation, wanted: number): Generator<FoundRow> {
    for (const row of this.#store.pastRows(op, this.#at, wanted)) {
      const whole = () => this.#store.pastKeyValue(row);
      yield { bare: () => ({ ...whole(), value: emptyBytes }), whole };
    }
  }
}

function bareKeyValue({ key, createRevision, modRevision, version, lease }: KeyRow): KeyValue {
  return { key, value: emptyBytes, createRevision, modRevision, version, lease };
}
