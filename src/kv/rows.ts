import { unpackInt64 } from "../base/int64.ts";
import type { SqlValue } from "../base/sqlite.ts";
import type { ChainHead, Links } from "./chain.ts";
import { addBytes, addNumber, keyChecksum, keyRowChecksum, linkedChecksum } from "./checksum.ts";
import { damaged } from "./schema.ts";
import type { KeyValue, LeaseId } from "./types.ts";

/** What stands about a key in `key`, without its value; or in `tombstone`: then `version` is 0. */
export interface KeyRow extends ChainHead {
  readonly key: Uint8Array;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  readonly lease: LeaseId;
  /** Of the key's bytes alone. */
  readonly keyCrc: number;
  /** Of what is replicated in this row; the links are not. */
  readonly checksum: number;
}

/** Where the value is that a key had in the past. */
export interface PastRow extends Pick<KeyRow, "key" | "seq" | "keyCrc"> {}

/** A row of `revision`. `version` 0 is a tombstone: the key was deleted. */
export interface RevisionRow extends KeyValue {
  readonly seq: number;
  /** The row of the same key before this one, 0 for none. It may have been removed. */
  readonly prev: number;
}

/** A row of `revision` without its key and value. */
export interface LinkRow extends Links, Omit<KeyValue, "key" | "value"> {
  /** Of the key's bytes and the value's. */
  readonly valueCrc: number;
}

/** The columns that `parseHead` takes, of `key` and of `tombstone`. */
export const keyNumbers = "seq, create_revision, mod_revision, version, lease, prev, jump, links, checksum";
export const tombstoneNumbers = "seq, 0, 0, 0, 0, prev, jump, links, checksum";
/** The columns that `parseKeyRow` takes. */
export const keyColumns = `${keyNumbers}, key`;
export const tombstoneColumns = `${tombstoneNumbers}, key`;
/** The columns that `parseLinkRow` takes: they stand before key and value, which may be long. */
export const linkColumns =
  "mod_revision, create_revision, version, lease, prev, jump, value_checksum, checksum";
/** The columns that `parseValue` takes. */
export const valueColumns = `${linkColumns}, value`;
/** The columns that `parseRevisionRow` takes. */
export const revisionColumns = `${valueColumns}, key`;
/** The columns of `revision` that `parseHeadValue` takes for a row of `key`. */
export const headValueColumns = "value_checksum, checksum, value";

/** How a lease's id stands in a column, where integers beyond 2^53 cannot. */
type PackedLease = number | Uint8Array;

function leaseId(packed: PackedLease, seq: number): LeaseId {
  const lease = unpackInt64(packed);
  if (lease === undefined) throw damaged(`The lease of a key in state.db is no integer (row ${seq})`);
  return lease;
}

// Rows are taken apart by index, not by destructuring: this is where most of the time of a long read goes.

export function parseKeyRow(row: SqlValue[]): KeyRow {
  return parseHead(row[9] as Uint8Array, row);
}

/** The row of a key that is known, so that the row need not have it. */
export function parseHead(key: Uint8Array, row: SqlValue[]): KeyRow {
  const seq = row[0] as number;
  const createRevision = row[1] as number;
  const modRevision = row[2] as number;
  const version = row[3] as number;
  const lease = leaseId(row[4] as PackedLease, seq);
  const prev = row[5] as number;
  const jump = row[6] as number;
  const links = row[7] as number;
  const keyCrc = keyChecksum(key);
  const checksum = keyRowChecksum(keyCrc, seq, createRevision, modRevision, version, lease);
  if (headChecksum(checksum, prev, jump, links) !== row[8]) {
    throw damaged(`The checksum of a key in state.db is wrong (row ${seq})`);
  }
  return { key, seq, createRevision, modRevision, version, lease, prev, jump, links, keyCrc, checksum };
}

/** The checksum of a row of `key` or `tombstone`, links and all. */
export function headChecksum(checksum: number, prev: number, jump: number, links: number): number {
  return addNumber(links, linkedChecksum(checksum, prev, jump));
}

/** The columns begin at `first`. */
export function parseLinkRow(seq: number, row: SqlValue[], first = 0): LinkRow {
  const modRevision = row[first] as number;
  const createRevision = row[first + 1] as number;
  const version = row[first + 2] as number;
  const lease = leaseId(row[first + 3] as PackedLease, seq);
  const prev = row[first + 4] as number;
  const jump = row[first + 5] as number;
  const valueCrc = row[first + 6] as number;
  const content = keyRowChecksum(valueCrc, seq, createRevision, modRevision, version, lease);
  if (linkedChecksum(content, prev, jump) !== row[first + 7]) {
    throw damaged(`The checksum of a row in state.db is wrong (row ${seq})`);
  }
  return { seq, createRevision, modRevision, version, lease, prev, jump, valueCrc };
}

/**
 * A row of `revision` of a key that is known: its checksum tells whether it is the row of that key. The
 * columns begin at `first`.
 */
export function parseValue({ key, seq, keyCrc }: PastRow, row: SqlValue[], first = 0): KeyValue {
  const { createRevision, modRevision, version, lease, valueCrc } = parseLinkRow(seq, row, first);
  const value = row[first + 8] as Uint8Array;
  if (addBytes(value, keyCrc) !== valueCrc) throw wrongValue(seq);
  return { key, value, createRevision, modRevision, version, lease };
}

/** The row of a key with its value; the columns of `revision` begin at `first`. */
export function parseHeadValue(
  head: Omit<KeyRow, "links" | "checksum">,
  row: SqlValue[],
  first = 0,
): KeyValue {
  const { key, seq, createRevision, modRevision, version, lease, prev, jump, keyCrc } = head;
  const valueCrc = row[first] as number;
  const value = row[first + 2] as Uint8Array;
  const content = keyRowChecksum(valueCrc, seq, createRevision, modRevision, version, lease);
  if (addBytes(value, keyCrc) !== valueCrc || linkedChecksum(content, prev, jump) !== row[first + 1]) {
    throw wrongValue(seq);
  }
  return { key, value, createRevision, modRevision, version, lease };
}

/** The columns of `key` that `parseJoined` takes, before those of `revision`. */
export const joinedKeyColumns = "seq, create_revision, mod_revision, version, lease, prev, jump, key";

/** Both rows of a key in one: what stands in `revision` vouches for what stands in `key`. */
export function parseJoined(row: SqlValue[]): KeyValue {
  const key = row[7] as Uint8Array;
  const seq = row[0] as number;
  const head = {
    key,
    seq,
    createRevision: row[1] as number,
    modRevision: row[2] as number,
    version: row[3] as number,
    lease: leaseId(row[4] as PackedLease, seq),
    prev: row[5] as number,
    jump: row[6] as number,
    keyCrc: keyChecksum(key),
  };
  return parseHeadValue(head, row, 8);
}

export function parseRevisionRow(seq: number, row: SqlValue[]): RevisionRow {
  const key = row[9] as Uint8Array;
  const value = row[8] as Uint8Array;
  const { createRevision, modRevision, version, lease, prev, valueCrc } = parseLinkRow(seq, row, 0);
  if (addBytes(value, keyChecksum(key)) !== valueCrc) throw wrongValue(seq);
  return { key, value, createRevision, modRevision, version, lease, seq, prev };
}

function wrongValue(seq: number): Error {
  return damaged(`The checksum of a value in state.db is wrong (row ${seq})`);
}
