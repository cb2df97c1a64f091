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
export interface PastRow {
  readonly key: Uint8Array;
  readonly seq: number;
}

/** A row of `revision`. `version` 0 is a tombstone: the key was deleted. */
export interface RevisionRow extends KeyValue {
  readonly seq: number;
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
/** The columns that `parseRevisionRow` takes. */
export const revisionColumns = `${linkColumns}, key, value`;

/** How a lease's id stands in a column, where integers beyond 2^53 cannot. */
type PackedLease = number | Uint8Array;

type HeadColumns = [
  seq: number,
  createRevision: number,
  modRevision: number,
  version: number,
  lease: PackedLease,
  prev: number,
  jump: number,
  links: number,
  checksum: number,
];

type LinkColumns = [
  modRevision: number,
  createRevision: number,
  version: number,
  lease: PackedLease,
  prev: number,
  jump: number,
  valueCrc: number,
  checksum: number,
];

function leaseId(packed: PackedLease, seq: number): LeaseId {
  const lease = unpackInt64(packed);
  if (lease === undefined) throw damaged(`The lease of a key in state.db is no integer (row ${seq})`);
  return lease;
}

export function parseKeyRow(row: SqlValue[]): KeyRow {
  return parseHead(row[9] as Uint8Array, row);
}

/** The row of a key that is known, so that the row need not have it. */
export function parseHead(key: Uint8Array, row: SqlValue[]): KeyRow {
  const [seq, createRevision, modRevision, version, packed, prev, jump, links, stored] = row as HeadColumns;
  const lease = leaseId(packed, seq);
  const keyCrc = keyChecksum(key);
  const checksum = keyRowChecksum(keyCrc, seq, createRevision, modRevision, version, lease);
  if (headChecksum(checksum, prev, jump, links) !== stored) {
    throw damaged(`The checksum of a key in state.db is wrong (row ${seq})`);
  }
  return { key, seq, createRevision, modRevision, version, lease, prev, jump, links, keyCrc, checksum };
}

/** The checksum of a row of `key` or `tombstone`, links and all. */
export function headChecksum(checksum: number, prev: number, jump: number, links: number): number {
  return addNumber(links, linkedChecksum(checksum, prev, jump));
}

export function parseLinkRow(seq: number, row: SqlValue[]): LinkRow {
  const [modRevision, createRevision, version, packed, prev, jump, valueCrc, checksum] =
    row as unknown as LinkColumns;
  const lease = leaseId(packed, seq);
  const content = keyRowChecksum(valueCrc, seq, createRevision, modRevision, version, lease);
  if (linkedChecksum(content, prev, jump) !== checksum) {
    throw damaged(`The checksum of a row in state.db is wrong (row ${seq})`);
  }
  return { seq, createRevision, modRevision, version, lease, prev, jump, valueCrc };
}

export function parseRevisionRow(seq: number, row: SqlValue[]): RevisionRow {
  const { createRevision, modRevision, version, lease, valueCrc } = parseLinkRow(seq, row);
  const [key, value] = row.slice(8) as [Uint8Array, Uint8Array];
  if (addBytes(value, keyChecksum(key)) !== valueCrc) {
    throw damaged(`The checksum of a value in state.db is wrong (row ${seq})`);
  }
  return { key, value, createRevision, modRevision, version, lease, seq };
}
