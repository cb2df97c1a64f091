import { present } from "../base/assert.ts";
import { utf8 } from "../base/bytes.ts";
import type { Int64 } from "../base/int64.ts";
import type { MemberChange, MemberRecord } from "../base/members.ts";
import type { SqliteDatabase } from "../base/sqlite.ts";
import { openSqlite } from "../runtime/sqlite.ts";
import type { KeyRowLimits } from "./key-rows.ts";
import { type AppliedEntry, StateMachine } from "./state-machine.ts";
import type {
  Command,
  CommandBody,
  CommandResult,
  Compare,
  CompareResult,
  CompareTarget,
  DeleteOperation,
  KeyRange,
  Operation,
  PutOperation,
  RangeOperation,
  Refused,
  TxnOperation,
} from "./types.ts";

/** Short ways to write commands and to run them on a machine in memory. */

export function put(key: string, value: string, more: Partial<PutOperation> = {}): PutOperation {
  return { type: "put", key: utf8(key), value: utf8(value), lease: 0, previous: false, ...more };
}

/** `end` undefined: one key; null: all keys from `key` on. */
export function keys(key: string, end?: string | null): KeyRange {
  if (end === undefined) return { key: utf8(key) };
  return { key: utf8(key), end: end === null ? null : utf8(end) };
}

export function del(key: string, end?: string | null, previous = false): DeleteOperation {
  return { type: "delete", ...keys(key, end), previous };
}

export function range(
  key: string,
  end?: string | null,
  more: Partial<Omit<RangeOperation, "key" | "end">> = {},
): RangeOperation {
  return { type: "range", ...keys(key, end), revision: 0, limit: 0, ...more };
}

export function txn(
  compare: readonly Compare[],
  success: readonly Operation[],
  failure: readonly Operation[] = [],
): TxnOperation {
  return { type: "txn", compare, success, failure };
}

export function compare(
  on: KeyRange,
  target: CompareTarget,
  result: CompareResult,
  operand: Int64 | string,
): Compare {
  return { ...on, target, result, operand: typeof operand === "string" ? utf8(operand) : operand };
}

export function member(id: number, more: Partial<MemberRecord> = {}): MemberRecord {
  return {
    id,
    name: `n${id}`,
    peerAddress: `127.0.0.1:${id}`,
    clientUrls: [`http://127.0.0.1:${1000 + id}`],
    grpcUrls: [],
    learner: false,
    ...more,
  };
}

/** A machine that numbers the entries it is given by itself. */
export class Bench {
  readonly db: SqliteDatabase;
  machine: StateMachine;
  timeMs = 1_700_000_000_000;

  readonly #keyRows: KeyRowLimits | undefined;

  constructor(
    members: readonly MemberRecord[] = [member(1)],
    db: SqliteDatabase = openSqlite(":memory:"),
    keyRows?: KeyRowLimits,
  ) {
    this.db = db;
    this.#keyRows = keyRows;
    const membership = { clusterId: 42, members, removed: [] };
    this.machine = StateMachine.create(db, { membership, index: 0, term: 0 }, keyRows);
  }

  /** The entry that would come next, `ahead` entries later. */
  entry(content: AppliedEntry["content"], ahead = 0): AppliedEntry {
    return { index: this.machine.appliedIndex + 1 + ahead, term: 1, content };
  }

  /** Applies commands as one entry and gives their results. */
  commands(...commands: readonly Command[]): readonly CommandResult[] {
    const batch = { timeMs: this.timeMs, commands };
    const outcome = this.machine.apply([this.entry({ type: "batch", batch })])[0];
    return outcome?.type === "batch" ? outcome.results : [];
  }

  run(body: CommandBody, idempotencyKey?: string): CommandResult {
    const command = idempotencyKey === undefined ? { body } : { body, idempotencyKey };
    return present(this.commands(command)[0], "the result");
  }

  change(change: MemberChange): Refused | undefined {
    const outcome = this.machine.apply([this.entry({ type: "membership", change })])[0];
    return outcome?.type === "membership" ? outcome.refused : undefined;
  }

  /** Opens the same database anew, as after a restart. */
  reopen(): void {
    this.machine = StateMachine.open(this.db, this.#keyRows);
  }

  /** All that can be read, to see whether something left a trace. */
  contents(): unknown {
    const { machine } = this;
    return [machine.range(range("", null)), machine.changes(machine.compactRevision, 10_000), machine.hash()];
  }
}
