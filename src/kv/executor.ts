import { present } from "../base/assert.ts";
import { emptyBytes } from "../base/bytes.ts";
import type { ErrorCode } from "../base/errors.ts";
import { AnswerBudget } from "./answer-budget.ts";
import type { KeyStore } from "./key-store.ts";
import type { LeaseTable } from "./lease-table.ts";
import { readRange, unreadable } from "./range.ts";
import type { KeyRow } from "./rows.ts";
import { damaged } from "./schema.ts";
import type { State } from "./state.ts";
import { type Plan, plan } from "./transaction.ts";
import type {
  CommandBody,
  CommandResult,
  DeleteOperation,
  DeleteResult,
  KeyValue,
  LeaseId,
  Operation,
  OperationResult,
  PutOperation,
  PutResult,
  Refused,
  TxnResult,
} from "./types.ts";

export function refuse(code: ErrorCode, message: string): Refused {
  return { type: "refused", code, message };
}

function noLease(id: LeaseId): Refused {
  return refuse("lease_not_found", `Lease ${id} does not exist: it ended, or was never granted.`);
}

/**
 * Carries commands out. Everything that can make a command fail is decided before its first
 * change, so that a refused command leaves no trace and nothing needs to be undone.
 */
export class Executor {
  readonly #store: KeyStore;
  readonly #leases: LeaseTable;
  readonly #state: State;
  /** The running command has changed a key: it writes at `state.revision + 1`. */
  #pending = false;
  /** What the running command may still answer. */
  #budget = new AnswerBudget();

  constructor(store: KeyStore, leases: LeaseTable, state: State) {
    this.#store = store;
    this.#leases = leases;
    this.#state = state;
  }

  /** Applies a command inside the transaction of the caller. */
  execute(body: CommandBody): CommandResult {
    this.#pending = false;
    this.#budget = new AnswerBudget();
    const result = this.#dispatch(body);
    if (this.#pending) this.#state.revision++;
    return result;
  }

  #dispatch(body: CommandBody): CommandResult {
    switch (body.type) {
      case "put": {
        const before = this.#store.find(body.key);
        // Of two reasons etcd tells this one first, in a transaction the other one.
        return this.#checkLease(body) ?? checkKept(body, before) ?? this.#put(body, before);
      }
      case "delete":
        return this.#delete(body);
      case "txn": {
        const chosen = plan(body, this.#store);
        return this.#check(chosen) ?? this.#run(chosen);
      }
      case "compact":
        return this.#compact(body.revision);
      case "lease-grant":
        return this.#grant(body.id, body.ttlSeconds);
      case "lease-revoke":
        return this.#checkTerm(body.term) ?? this.#revoke(body.id);
      case "lease-checkpoint":
        return this.#checkTerm(body.term) ?? this.#checkpoint(body.leases);
    }
  }

  /**
   * The first reason why the chosen operations cannot all be done: of all puts in their order, then of
   * all ranges, as etcd looks at them.
   */
  #check(chosen: Plan): Refused | undefined {
    const ofPut = (operation: Operation): Refused | undefined => {
      if (operation.type !== "put") return undefined;
      const needsKey = operation.keepValue === true || operation.keepLease === true;
      const before = needsKey ? this.#store.find(operation.key) : undefined;
      return checkKept(operation, before) ?? this.#checkLease(operation);
    };
    const ofRange = (operation: Operation): Refused | undefined => {
      if (operation.type !== "range") return undefined;
      const error = unreadable(operation.revision, this.#state);
      return error && refuse(error.code, error.message);
    };
    return firstOf(chosen, ofPut) ?? firstOf(chosen, ofRange);
  }

  #checkLease({ lease, keepLease }: PutOperation): Refused | undefined {
    return lease === 0 || keepLease === true || this.#leases.has(lease) ? undefined : noLease(lease);
  }

  #run(chosen: Plan): TxnResult {
    const responses: OperationResult[] = [];
    let nested = 0;
    for (const operation of chosen.operations) {
      if (operation.type === "txn") {
        responses.push(this.#run(present(chosen.nested[nested++], "the plan of a nested transaction")));
      } else responses.push(this.#operate(operation));
    }
    return { type: "txn", revision: this.#revision(), succeeded: chosen.succeeded, responses };
  }

  #operate(operation: Exclude<Operation, { type: "txn" }>): OperationResult {
    switch (operation.type) {
      case "put":
        return this.#put(operation, this.#store.find(operation.key));
      case "delete":
        return this.#delete(operation);
      case "range":
        return readRange(operation, this.#store, this.#state, this.#pending, this.#budget);
    }
  }

  #put(operation: PutOperation, before: KeyRow | undefined): PutResult {
    const keepsValue = operation.keepValue === true && before !== undefined;
    const old =
      before !== undefined && (keepsValue || operation.previous) ? this.#store.keyValue(before) : undefined;
    const value = keepsValue ? (old?.value ?? emptyBytes) : operation.value;
    const lease = operation.keepLease === true ? (before?.lease ?? 0) : operation.lease;
    this.#pending = true;
    const revision = this.#revision();
    this.#store.put(operation.key, value, lease, revision, before);
    this.#leases.move(operation.key, before?.lease ?? 0, lease);
    if (!operation.previous || old === undefined) return { type: "put", revision };
    return this.#budget.take(old)
      ? { type: "put", revision, previous: old }
      : { type: "put", revision, abridged: true };
  }

  #delete(operation: DeleteOperation): DeleteResult {
    const previous: KeyValue[] = [];
    let deleted = 0;
    let telling = operation.previous;
    for (const row of this.#store.rows(operation)) {
      if (telling) {
        const old = this.#store.keyValue(row);
        telling = this.#budget.take(old);
        if (telling) previous.push(old);
      }
      this.#pending = true;
      this.#store.delete(row, this.#revision());
      this.#leases.move(row.key, row.lease, 0);
      deleted++;
    }
    const revision = this.#revision();
    return telling === operation.previous
      ? { type: "delete", revision, deleted, previous }
      : { type: "delete", revision, deleted, previous, abridged: true };
  }

  /** Only what may be read changes here; rows are removed later, in slices, by each member for itself. */
  #compact(revision: number): CommandResult {
    const state = this.#state;
    if (revision <= 0 || revision <= state.compactRevision) {
      return refuse("revision_compacted", `Revision ${revision} is compacted already.`);
    }
    const error = unreadable(revision, state);
    if (error !== undefined) return refuse(error.code, error.message);
    state.compactRevision = revision;
    state.chain(revision % 0x1_0000_0000);
    return { type: "compact", revision: state.revision };
  }

  #grant(id: LeaseId, ttlSeconds: number): CommandResult {
    if (this.#leases.has(id)) {
      return refuse("lease_exists", `Lease ${id} exists already: choose another id, or 0 to be given one.`);
    }
    this.#leases.grant(id, ttlSeconds);
    return { type: "lease-grant", revision: this.#state.revision, id, ttlSeconds };
  }

  /** What a leader says by its own clock holds only while it leads: in the entries of its own term. */
  #checkTerm(term: number | undefined): Refused | undefined {
    if (term === undefined || term === this.#state.appliedTerm) return undefined;
    return refuse("not_proposed", `The leader of term ${term} leads no longer: nothing was changed.`);
  }

  #revoke(id: LeaseId): CommandResult {
    const deleted = this.#leases.remove(id, (key) => {
      const row = this.#store.find(key);
      if (row === undefined || row.lease !== id)
        throw damaged("state.db lists a key under a lease that it does not have");
      this.#pending = true;
      this.#store.delete(row, this.#revision());
    });
    if (deleted === undefined) return noLease(id);
    return { type: "lease-revoke", revision: this.#revision(), deleted };
  }

  #checkpoint(leases: Extract<CommandBody, { type: "lease-checkpoint" }>["leases"]): CommandResult {
    for (const { id, remainingSeconds } of leases) this.#leases.checkpoint(id, remainingSeconds);
    return { type: "lease-checkpoint", revision: this.#state.revision };
  }

  /** The revision that the running command writes or reads at. */
  #revision(): number {
    return this.#pending ? this.#state.revision + 1 : this.#state.revision;
  }
}

function checkKept({ keepValue, keepLease }: PutOperation, before: KeyRow | undefined): Refused | undefined {
  if (before !== undefined || (keepValue !== true && keepLease !== true)) return undefined;
  return refuse("not_found", "The key does not exist, so its value or lease cannot be kept: put a value.");
}

/** What `look` finds first among the operations of a plan, nested ones in their place. */
function firstOf<T>(chosen: Plan, look: (operation: Operation) => T | undefined): T | undefined {
  let nested = 0;
  for (const operation of chosen.operations) {
    const found =
      operation.type === "txn"
        ? firstOf(present(chosen.nested[nested++], "the plan of a nested transaction"), look)
        : look(operation);
    if (found !== undefined) return found;
  }
  return undefined;
}
