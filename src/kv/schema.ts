import { CoracleError, messageOf } from "../base/errors.ts";
import type { SqliteDatabase } from "../base/sqlite.ts";

/** The version of the tables below, kept in `PRAGMA user_version`. Raise it together with a migration. */
export const schemaVersion = 1;

/** "cora" in `PRAGMA application_id`: tells state.db from any other SQLite file. */
const applicationId = 0x636f_7261;

/** Columns of lease ids are of any type: see \`packInt64\`. */
const tables = `
  CREATE TABLE key (
    key BLOB NOT NULL PRIMARY KEY,
    seq INTEGER NOT NULL,
    create_revision INTEGER NOT NULL,
    mod_revision INTEGER NOT NULL,
    version INTEGER NOT NULL,
    lease ANY NOT NULL,
    prev INTEGER NOT NULL,
    jump INTEGER NOT NULL,
    links INTEGER NOT NULL,
    checksum INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE tombstone (
    key BLOB NOT NULL PRIMARY KEY,
    seq INTEGER NOT NULL,
    prev INTEGER NOT NULL,
    jump INTEGER NOT NULL,
    links INTEGER NOT NULL,
    checksum INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE revision (
    seq INTEGER PRIMARY KEY,
    mod_revision INTEGER NOT NULL,
    create_revision INTEGER NOT NULL,
    version INTEGER NOT NULL,
    lease ANY NOT NULL,
    prev INTEGER NOT NULL,
    jump INTEGER NOT NULL,
    value_checksum INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    key BLOB NOT NULL,
    value BLOB NOT NULL
  ) STRICT;

  CREATE TABLE lease (
    id ANY NOT NULL PRIMARY KEY,
    ttl_seconds INTEGER NOT NULL,
    remaining_seconds INTEGER NOT NULL,
    checksum INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE lease_key (
    lease ANY NOT NULL,
    key BLOB NOT NULL,
    PRIMARY KEY (lease, key)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE member (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    peer_address TEXT NOT NULL,
    client_urls TEXT NOT NULL,
    grpc_urls TEXT NOT NULL,
    learner INTEGER NOT NULL,
    checksum INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE removed_member (id INTEGER PRIMARY KEY) STRICT;

  CREATE TABLE idempotency (
    number INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,
    time_ms INTEGER NOT NULL,
    body_checksum INTEGER NOT NULL,
    body_bytes INTEGER NOT NULL,
    result BLOB NOT NULL,
    checksum INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE meta (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    cluster_id INTEGER NOT NULL,
    applied_index INTEGER NOT NULL,
    applied_term INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    compact_revision INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    key_count INTEGER NOT NULL,
    key_sum INTEGER NOT NULL,
    chain_a INTEGER NOT NULL,
    chain_b INTEGER NOT NULL,
    idempotency_number INTEGER NOT NULL,
    compacted_seq INTEGER NOT NULL,
    lease_count INTEGER NOT NULL,
    lease_sum INTEGER NOT NULL,
    checksum INTEGER NOT NULL
  ) STRICT;
`;

/**
 * Migrations by the version they start from: `migrations[1]` makes version 2 out of version 1.
 * They must be deterministic: every member of a cluster runs the same.
 */
const migrations: Readonly<Record<number, string>> = {};

/** Creates the tables. Runs inside the transaction of its caller. */
export function createSchema(db: SqliteDatabase): void {
  db.exec(`PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${schemaVersion};`);
  db.exec(tables);
}

function pragma(db: SqliteDatabase, name: string): number {
  return Number(db.prepare(`PRAGMA ${name}`).get()?.[0]);
}

/**
 * Checks that this is a state.db of a version that this program knows, and migrates an older one.
 *
 * @throws CoracleError `storage_damaged` when it is not.
 */
export function openSchema(db: SqliteDatabase): void {
  if (pragma(db, "application_id") !== applicationId) {
    throw damaged("state.db is not a coracle state database: its application id is wrong");
  }
  let version = pragma(db, "user_version");
  if (version > schemaVersion) {
    throw damaged(
      `state.db has schema version ${version}, this program knows versions up to ${schemaVersion}: start a newer coracle`,
    );
  }
  while (version < schemaVersion) {
    const migration = migrations[version];
    if (migration === undefined) throw damaged(`state.db has the unknown schema version ${version}`);
    version++;
    db.exec(`BEGIN IMMEDIATE; ${migration}; PRAGMA user_version = ${version}; COMMIT;`);
  }
}

/** What is stored is not what was written. */
export function damaged(what: string): CoracleError {
  return new CoracleError(
    "storage_damaged",
    `${what}; remove this member's data and let it join again, or restore a snapshot.`,
  );
}

/**
 * SQLite's own texts for a file that is no (whole) database or lacks what the schema has. Rows that
 * were written as they should be never break a constraint.
 */
const damageTexts =
  /malformed|not a database|no such (table|column)|unsupported file format|constraint failed/i;

/** The error to throw for `error`: `storage_damaged` when SQLite says that the file is damaged. */
export function asDamage(error: unknown): unknown {
  if (error instanceof CoracleError) return error;
  const text = messageOf(error);
  return damageTexts.test(text) ? damaged(`state.db is damaged (${text})`) : error;
}
