import { compareBytes, utf8 } from "../base/bytes.ts";
import { CoracleError } from "../base/errors.ts";
import { isInt64 } from "../base/int64.ts";
import { limits as defaults } from "../base/limits.ts";
import type {
  Command,
  Compare,
  DeleteOperation,
  KeyRange,
  LeaseCommand,
  LeaseId,
  Operation,
  PutOperation,
  RangeOperation,
  TxnOperation,
} from "./types.ts";

/** The limits that a command is held against. */
export interface CommandLimits {
  readonly keyBytesMax: number;
  readonly valueBytesMax: number;
  readonly txnOperationsMax: number;
}

/**
 * Checks what can be checked of a command without the state, before it goes into the log. What
 * depends on the state is decided when it is applied.
 *
 * @throws CoracleError with the code of what is wrong; nothing was done.
 */
export function validateCommand(command: Command, limits: CommandLimits = defaults): void {
  const { body, idempotencyKey } = command;
  if (idempotencyKey !== undefined) validateIdempotencyKey(idempotencyKey);
  switch (body.type) {
    case "compact":
      integer(body.revision, "The revision to compact at");
      return;
    case "lease-grant":
    case "lease-revoke":
    case "lease-checkpoint":
      validateLeaseCommand(body);
      return;
    case "put":
      validatePut(body, limits);
      return;
    case "delete":
      validateRange(body, limits);
      return;
    case "txn": {
      validateTotal(body, limits);
      validateTxn(body, limits, limits.txnOperationsMax);
      const bytesMax = limits.valueBytesMax + defaults.commandOverheadBytesMax;
      const bytes = txnBytes(body);
      if (bytes > bytesMax) {
        throw new CoracleError(
          "request_too_large",
          `The keys and values of the transaction have ${bytes} bytes together, more than ${bytesMax}: split it, or raise --value-bytes-max.`,
          { limit: bytesMax },
        );
      }
      collectWrites(body.success);
      collectWrites(body.failure);
    }
  }
}

/**
 * Checks a read by the same rules.
 *
 * @throws CoracleError `key_empty`, `key_too_large` or `invalid_argument`.
 */
export function validateRangeOperation(op: RangeOperation, limits: CommandLimits = defaults): void {
  validateRange(op, limits);
  integer(op.revision, "The revision");
  integer(op.limit, "The limit");
  for (const filter of [op.minModRevision, op.maxModRevision, op.minCreateRevision, op.maxCreateRevision]) {
    if (filter !== undefined) integer(filter, "A revision filter");
  }
}

function validateIdempotencyKey(key: string): void {
  const max = defaults.idempotencyKeyBytesMax;
  if (key === "" || !key.isWellFormed() || utf8(key).length > max) {
    throw new CoracleError(
      "invalid_argument",
      `The Idempotency-Key must be text of 1 to ${max} bytes: for instance a UUID.`,
    );
  }
}

function validateLeaseCommand(body: LeaseCommand): void {
  if (body.type === "lease-checkpoint") {
    for (const { id, remainingSeconds } of body.leases) {
      validateLease(id);
      integer(remainingSeconds, "The time that is left of a lease");
    }
    return;
  }
  validateLease(body.id);
  if (body.type !== "lease-grant") return;
  const { ttlSeconds } = body;
  integer(ttlSeconds, "The TTL");
  if (ttlSeconds > defaults.leaseTtlSecondsMax) {
    throw new CoracleError(
      "lease_ttl_too_large",
      `The TTL of ${ttlSeconds} s is larger than ${defaults.leaseTtlSecondsMax}: choose a smaller one.`,
      { limit: defaults.leaseTtlSecondsMax },
    );
  }
  if (ttlSeconds < 1) {
    throw new CoracleError("invalid_argument", `The TTL of ${ttlSeconds} s is smaller than a second.`);
  }
}

function validateLease(id: LeaseId): void {
  if (!isInt64(id)) throw notInt64("The lease", id);
  if (id === 0) throw new CoracleError("invalid_argument", "0 stands for no lease: name one.");
}

function validatePut(op: PutOperation, limits: CommandLimits): void {
  validateKey(op.key, limits.keyBytesMax);
  if (op.value.length > limits.valueBytesMax) {
    throw new CoracleError(
      "value_too_large",
      `The value has ${op.value.length} bytes, more than the limit of ${limits.valueBytesMax}: make it smaller, or raise --value-bytes-max on every member.`,
      { limit: limits.valueBytesMax },
    );
  }
  if (op.keepValue === true && op.value.length > 0) {
    throw new CoracleError(
      "invalid_argument",
      "A value was given although the value is to be kept: leave one out.",
    );
  }
  if (op.keepLease === true && op.lease !== 0) {
    throw new CoracleError(
      "invalid_argument",
      "A lease was given although the lease is to be kept: leave one out.",
    );
  }
  if (!isInt64(op.lease)) throw notInt64("The lease", op.lease);
}

function validateKey(key: Uint8Array, bytesMax: number): void {
  if (key.length === 0)
    throw new CoracleError("key_empty", "The key is empty: give a key of at least one byte.");
  if (key.length > bytesMax) {
    throw new CoracleError(
      "key_too_large",
      `The key has ${key.length} bytes, more than the limit of ${bytesMax}.`,
      {
        limit: bytesMax,
      },
    );
  }
}

/** The start of a range may be empty (the first key of all); a single key may not. */
function validateRange({ key, end }: KeyRange, { keyBytesMax }: CommandLimits): void {
  if (end === undefined || key.length > 0) validateKey(key, keyBytesMax);
  if (end === undefined || end === null) return;
  if (end.length === 0) {
    throw new CoracleError("invalid_argument", "The end of the range is empty: leave it out for one key.");
  }
  // One byte more than a key: the first key after the longest one.
  validateKey(end, keyBytesMax + 1);
}

/**
 * All operations and comparisons of the whole tree, in both branches: the level rule alone lets a
 * tree have thousands. As many as three full lists are enough for a transaction that is not nested.
 */
function validateTotal(txn: TxnOperation, limits: CommandLimits): void {
  const max = 3 * limits.txnOperationsMax;
  let total = 0;
  const open: TxnOperation[] = [txn];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    total += next.compare.length + next.success.length + next.failure.length;
    if (total > max) {
      throw new CoracleError(
        "too_many_operations",
        `The transaction has more than ${max} comparisons and operations in all, nested ones included: split it.`,
        { limit: max },
      );
    }
    for (const branch of [next.success, next.failure]) {
      for (const operation of branch) if (operation.type === "txn") open.push(operation);
    }
  }
}

/**
 * Keys, values and the number of operations. Each level counts by its longest list, and leaves the
 * rest to the transactions nested in it, as in etcd.
 */
function validateTxn(txn: TxnOperation, limits: CommandLimits, operationsMax: number): void {
  const longest = Math.max(txn.compare.length, txn.success.length, txn.failure.length);
  if (longest > operationsMax) {
    throw new CoracleError(
      "too_many_operations",
      `A list of the transaction has ${longest} entries, but ${operationsMax} are allowed there (${limits.txnOperationsMax}, less what the transactions around it use): split it.`,
      { limit: limits.txnOperationsMax },
    );
  }
  for (const compare of txn.compare) validateCompare(compare, limits);
  for (const branch of [txn.success, txn.failure]) {
    for (const operation of branch) validateOperation(operation, limits, operationsMax - longest);
  }
}

function validateOperation(operation: Operation, limits: CommandLimits, operationsMax: number): void {
  switch (operation.type) {
    case "put":
      validatePut(operation, limits);
      return;
    case "delete":
      validateRange(operation, limits);
      return;
    case "range":
      validateRangeOperation(operation, limits);
      return;
    case "txn":
      validateTxn(operation, limits, operationsMax);
  }
}

function validateCompare(compare: Compare, limits: CommandLimits): void {
  validateRange(compare, limits);
  if (compare.target === "value") {
    if (compare.operand instanceof Uint8Array) return;
    throw new CoracleError("invalid_argument", "A value is compared with a number: compare it with bytes.");
  }
  if (compare.operand instanceof Uint8Array) {
    throw new CoracleError(
      "invalid_argument",
      `The ${compare.target} of a key is compared with bytes: compare it with a number.`,
    );
  }
  if (!isInt64(compare.operand))
    throw notInt64(`The operand of the comparison with ${compare.target}`, compare.operand);
}

function integer(value: number, what: string): void {
  if (!Number.isSafeInteger(value)) {
    throw new CoracleError("invalid_argument", `${what} is ${value}: it must be an integer below 2^53.`);
  }
}

function notInt64(what: string, value: unknown): CoracleError {
  return new CoracleError("invalid_argument", `${what} is ${value}: it must be an integer of 64 bits.`);
}

function txnBytes(txn: TxnOperation): number {
  let bytes = 0;
  for (const { key, end, operand } of txn.compare) {
    bytes += key.length + (end?.length ?? 0) + (operand instanceof Uint8Array ? operand.length : 8);
  }
  for (const branch of [txn.success, txn.failure]) {
    for (const operation of branch) {
      if (operation.type === "txn") bytes += txnBytes(operation);
      else if (operation.type === "put") bytes += operation.key.length + operation.value.length;
      else bytes += operation.key.length + (operation.end?.length ?? 0);
    }
  }
  return bytes;
}

/** Keys that a list of operations may put, and ranges that it may delete. */
interface Writes {
  /** By the text that stands for the key's bytes. */
  readonly puts: Map<string, Uint8Array>;
  readonly deletes: DeleteOperation[];
}

/**
 * Refuses a key that is put twice, or put and deleted, by operations that can run together; the two
 * branches of a transaction cannot. Nested transactions are taken in their order, and each is held
 * against the deletes of those before it, as in etcd.
 */
function collectWrites(operations: readonly Operation[]): Writes {
  const puts = new Map<string, Uint8Array>();
  const deletes: DeleteOperation[] = [];
  for (const operation of operations) if (operation.type === "delete") deletes.push(operation);
  for (const operation of operations) {
    if (operation.type !== "txn") continue;
    const success = collectWrites(operation.success);
    const failure = collectWrites(operation.failure);
    for (const [text, key] of success.puts) addPut(text, key, puts, deletes);
    for (const [text, key] of failure.puts) {
      if (success.puts.has(text)) puts.delete(text);
      addPut(text, key, puts, deletes);
    }
    deletes.push(...success.deletes, ...failure.deletes);
  }
  for (const operation of operations) {
    if (operation.type === "put") addPut(textOf(operation.key), operation.key, puts, deletes);
  }
  return { puts, deletes };
}

function addPut(
  text: string,
  key: Uint8Array,
  puts: Map<string, Uint8Array>,
  deletes: readonly KeyRange[],
): void {
  if (puts.has(text) || deletes.some((range) => covers(range, key))) {
    throw new CoracleError(
      "duplicate_key",
      "A key is put twice, or put and deleted, in one transaction: name each key once.",
    );
  }
  puts.set(text, key);
}

function covers({ key: start, end }: KeyRange, key: Uint8Array): boolean {
  const order = compareBytes(key, start);
  if (end === undefined) return order === 0;
  return order >= 0 && (end === null || compareBytes(key, end) < 0);
}

const latin1 = new TextDecoder("latin1");

/** A text that is different for different bytes: what a Map can be keyed by. */
function textOf(key: Uint8Array): string {
  return latin1.decode(key);
}
