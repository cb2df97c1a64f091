import { compareBytes, emptyBytes } from "../base/bytes.ts";
import { CoracleError } from "../base/errors.ts";
import type { KeyRow, KeyStore } from "./key-store.ts";
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
 * has already changed keys: then the present is one revision ahead of the store's.
 */
export function readRange(op: RangeOperation, store: KeyStore, state: State, pending: boolean): RangeResult {
  const inPresent = op.revision <= 0 || (op.revision === state.revision && !pending);
  const source = inPresent ? new Present(store) : new Past(store, store.lastSeqOf(op.revision));
  const revision = pending ? state.revision + 1 : state.revision;
  if (op.countOnly === true) {
    return { type: "range", revision, keys: [], count: source.count(op), more: false };
  }
  const limit = op.limit > 0 ? op.limit : Number.POSITIVE_INFINITY;
  const inKeyOrder = op.sort === undefined || (op.sort.target === "key" && !op.sort.descending);
  if (inKeyOrder && !filtered(op)) {
    const keys = source.keys(op, limit + 1, op.keysOnly === true);
    const more = keys.length > limit;
    if (more) keys.pop();
    return { type: "range", revision, keys, count: more ? source.count(op) : keys.length, more };
  }
  return readSorted(op, source, revision, limit);
}

/** Reads all keys of the range without their values, filters, sorts and cuts, and fetches values last. */
function readSorted(op: RangeOperation, source: Source, revision: number, limit: number): RangeResult {
  const byValue = op.sort?.target === "value";
  const all = source.keys(op, Number.POSITIVE_INFINITY, !byValue);
  const count = all.length;
  const chosen = filtered(op) ? all.filter((found) => passes(op, found)) : all;
  if (op.sort !== undefined) {
    const compare = order[op.sort.target];
    const sign = op.sort.descending ? -1 : 1;
    // Stable: equal keys stay in key order.
    chosen.sort((a, b) => sign * compare(a, b));
  }
  const more = chosen.length > limit;
  if (more) chosen.length = limit;
  const keys = chosen.map((found) => {
    if (op.keysOnly === true) return byValue ? { ...found, value: emptyBytes } : found;
    return byValue ? found : source.withValue(found);
  });
  return { type: "range", revision, keys, count, more };
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
interface Source {
  count(op: RangeOperation): number;
  /** At most `limit` keys in key order; with `bare`, their values are left empty. */
  keys(op: RangeOperation, limit: number, bare: boolean): KeyValue[];
  /** The same key with its value. */
  withValue(found: KeyValue): KeyValue;
}

/** SQLite takes a negative limit for none. */
function sqlLimit(limit: number): number {
  return Number.isFinite(limit) ? limit : -1;
}

class Present implements Source {
  readonly #store: KeyStore;

  constructor(store: KeyStore) {
    this.#store = store;
  }

  count(op: RangeOperation): number {
    return this.#store.count(op);
  }

  keys(op: RangeOperation, limit: number, bare: boolean): KeyValue[] {
    if (!bare) return this.#store.keyValues(op, sqlLimit(limit));
    return this.#store.rows(op, sqlLimit(limit)).map(bareKeyValue);
  }

  withValue(found: KeyValue): KeyValue {
    return this.#store.findWithValue(found.key) ?? found;
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

  keys(op: RangeOperation, limit: number, bare: boolean): KeyValue[] {
    const found = this.#store.pastKeyValues(op, this.#at, sqlLimit(limit));
    return bare ? found.map((keyValue) => ({ ...keyValue, value: emptyBytes })) : found;
  }

  withValue(found: KeyValue): KeyValue {
    return this.keys({ ...presentRead, key: found.key }, 1, false)[0] ?? found;
  }
}

const presentRead = { type: "range", revision: 0, limit: 0 } as const;

function bareKeyValue({ key, createRevision, modRevision, version, lease }: KeyRow): KeyValue {
  return { key, value: emptyBytes, createRevision, modRevision, version, lease };
}
