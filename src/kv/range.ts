import { compareBytes, emptyBytes } from "../base/bytes.ts";
import { CoracleError } from "../base/errors.ts";
import { type AnswerBudget, pairBytes } from "./answer-budget.ts";
import type { KeyStore } from "./key-store.ts";
import type { KeyRow, PastRow } from "./rows.ts";
import type { State } from "./state.ts";
import type { KeyRange, KeyValue, RangeOperation, RangeResult, SortTarget } from "./types.ts";

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
  const revision = pending ? state.revision + 1 : state.revision;
  const found = inPresent
    ? readFrom(op, new Present(store), budget)
    : readFrom(op, new Past(store, store.lastSeqOf(op.revision)), budget);
  // Not one key, although there are some: no client may take that for an empty range.
  const abridged = found.more && found.keys.length === 0 && op.countOnly !== true;
  return { type: "range", revision, ...found, ...(abridged && { abridged }) };
}

function readFrom<Row>(op: RangeOperation, source: Source<Row>, budget: AnswerBudget): Found {
  if (op.countOnly === true) return { keys: [], count: source.count(op), more: false };
  if (budget.spent) {
    const count = source.count(op);
    return { keys: [], count, more: count > 0 };
  }
  const limit = op.limit > 0 ? op.limit : Number.POSITIVE_INFINITY;
  const inKeyOrder = op.sort === undefined || (op.sort.target === "key" && !op.sort.descending);
  return inKeyOrder && !filtered(op)
    ? readInOrder(op, source, limit, budget)
    : readSorted(op, source, limit, budget);
}

type Found = Pick<RangeResult, "keys" | "more" | "count">;

/** Reads until the limit or the budget is reached. */
function readInOrder<Row>(
  op: RangeOperation,
  source: Source<Row>,
  limit: number,
  budget: AnswerBudget,
): Found {
  const keys: KeyValue[] = [];
  for (const found of source.keyValues(op, limit + 1, op.keysOnly === true)) {
    if (keys.length === limit || !budget.take(found)) {
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
function readSorted<Row>(
  op: RangeOperation,
  source: Source<Row>,
  limit: number,
  budget: AnswerBudget,
): Found {
  const byValue = op.sort?.target === "value";
  const best = new Best<Row>(op, limit, budget.left);
  let count = 0;
  for (const row of source.rows(op)) {
    count++;
    const found = byValue ? source.whole(row) : source.bare(row);
    if (passes(op, found)) best.add({ found, row });
  }
  best.cut();
  const keys: KeyValue[] = [];
  for (const { found, row } of best.rows) {
    const told = op.keysOnly === true ? { ...found, value: emptyBytes } : byValue ? found : source.whole(row);
    if (!budget.take(told)) return { keys, more: true, count };
    keys.push(told);
  }
  return { keys, more: best.dropped, count };
}

interface Candidate<Row> {
  /** With its value only when that is what decides. */
  readonly found: KeyValue;
  readonly row: Row;
}

/**
 * The rows that come first in the order of a read. An answer can only have as many from the front as
 * its limit and its budget allow, so the others are dropped now and then, before they fill the memory.
 */
class Best<Row> {
  rows: Candidate<Row>[] = [];
  /** The first of the rows that were dropped: what comes behind it cannot come into the answer either. */
  #end: Candidate<Row> | undefined;
  readonly #compare: ((a: Candidate<Row>, b: Candidate<Row>) => number) | undefined;
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

  add(candidate: Candidate<Row>): void {
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

/** Where keys come from: the present or one revision of the past. */
interface Source<Row> {
  count(range: KeyRange): number;
  /** In key order. What is needed of a row is read when it is asked for, and not kept. */
  rows(range: KeyRange): Iterable<Row>;
  /** The key with an empty value. */
  bare(row: Row): KeyValue;
  whole(row: Row): KeyValue;
  /** The same in one go, for `wanted` keys at most. */
  keyValues(range: KeyRange, wanted: number, bare: boolean): Iterable<KeyValue>;
}

class Present implements Source<KeyRow> {
  readonly #store: KeyStore;

  constructor(store: KeyStore) {
    this.#store = store;
  }

  count(range: KeyRange): number {
    return this.#store.count(range);
  }

  rows(range: KeyRange): Iterable<KeyRow> {
    return this.#store.rows(range);
  }

  bare({ key, createRevision, modRevision, version, lease }: KeyRow): KeyValue {
    return { key, value: emptyBytes, createRevision, modRevision, version, lease };
  }

  whole(row: KeyRow): KeyValue {
    return this.#store.keyValue(row);
  }

  keyValues(range: KeyRange, wanted: number, bare: boolean): Iterable<KeyValue> {
    return bare ? this.#bare(range, wanted) : this.#store.keyValues(range, wanted);
  }

  *#bare(range: KeyRange, wanted: number): Generator<KeyValue> {
    for (const row of this.#store.rows(range, wanted)) yield this.bare(row);
  }
}

class Past implements Source<PastRow> {
  readonly #store: KeyStore;
  /** Last sequence number of the revision that is read. */
  readonly #at: number;

  constructor(store: KeyStore, at: number) {
    this.#store = store;
    this.#at = at;
  }

  count(range: KeyRange): number {
    return this.#store.pastCount(range, this.#at);
  }

  rows(range: KeyRange): Iterable<PastRow> {
    return this.#store.pastRows(range, this.#at);
  }

  bare(row: PastRow): KeyValue {
    return this.#store.pastKey(row);
  }

  whole(row: PastRow): KeyValue {
    return this.#store.pastKeyValue(row);
  }

  keyValues(range: KeyRange, wanted: number, bare: boolean): Iterable<KeyValue> {
    return bare ? this.#bare(range, wanted) : this.#store.pastKeyValues(range, this.#at, wanted);
  }

  *#bare(range: KeyRange, wanted: number): Generator<KeyValue> {
    for (const row of this.#store.pastRows(range, this.#at, wanted)) yield this.bare(row);
  }
}
