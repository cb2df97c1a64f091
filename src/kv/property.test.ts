import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { present } from "../base/assert.ts";
import { utf8 } from "../base/bytes.ts";
import { CoracleError } from "../base/errors.ts";
import { Bench, range } from "./builders.test-support.ts";
import type { KeyRowLimits } from "./key-rows.ts";
import { Model } from "./model.test-support.ts";
import { type AppliedEntry, TransactionLost } from "./state-machine.ts";
import type {
  Command,
  CommandResult,
  Compare,
  KeyRange,
  LeaseCommand,
  LeaseId,
  Operation,
  RangeOperation,
  RangeResult,
} from "./types.ts";
import { validateCommand } from "./validate.ts";

const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
const runs = Number(process.env.RUNS ?? 100);

// Few keys, so that they meet often; bytes at both ends, prefixes of each other.
const key = fc.constantFrom(
  ...["a", "ab", "b", "c", "\u0000"].map(utf8),
  new Uint8Array([0xff]),
  new Uint8Array([0x61, 0x00]),
  new Uint8Array([0xc3]),
);
const value = fc.constantFrom(...["", "1", "2", "10", "a longer value"].map(utf8));
// Histories are short: small revisions are the ones that exist.
const written = fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: -1, max: 40 }));
const revision = fc.oneof(fc.constant(0), written);

const keyRange: fc.Arbitrary<KeyRange> = fc.oneof(
  fc.record({ key }),
  fc.record({ key, end: key }),
  fc.record({ key, end: fc.constant(null) }),
  fc.constant({ key: new Uint8Array(0), end: null }),
);

// Mostly none, so that many commands are not refused; a small id, a negative one, and one beyond 2^53.
const leaseIds = [7, -1, 2n ** 62n] as const;
const aLease: fc.Arbitrary<LeaseId> = fc.oneof(
  { weight: 3, arbitrary: fc.constant(0) },
  fc.constantFrom<LeaseId>(...leaseIds),
);

const putOperation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      type: fc.constant("put" as const),
      key,
      value,
      lease: aLease,
      previous: fc.boolean(),
    }),
  },
  fc.record({
    type: fc.constant("put" as const),
    key,
    value: fc.constant(new Uint8Array(0)),
    lease: fc.oneof(fc.constant(0), aLease),
    previous: fc.boolean(),
    keepValue: fc.boolean(),
    keepLease: fc.boolean(),
  }),
);

const deleteOperation: fc.Arbitrary<Operation> = fc
  .tuple(keyRange, fc.boolean())
  .map(([on, previous]) => ({ type: "delete", ...on, previous }));

const rangeOperation: fc.Arbitrary<RangeOperation> = fc
  .tuple(
    keyRange,
    fc.record(
      {
        revision,
        limit: fc.integer({ min: -1, max: 4 }),
        sort: fc.record({
          target: fc.constantFrom("key", "version", "create", "mod", "value"),
          descending: fc.boolean(),
        }),
        keysOnly: fc.boolean(),
        countOnly: fc.boolean(),
        minModRevision: revision,
        maxModRevision: revision,
        minCreateRevision: revision,
        maxCreateRevision: revision,
      },
      { requiredKeys: ["revision", "limit"] },
    ),
  )
  .map(([on, rest]) => ({ type: "range", ...on, ...rest }));

const compare: fc.Arbitrary<Compare> = fc
  .tuple(
    keyRange,
    fc.constantFrom("equal", "not-equal", "greater", "less"),
    fc.oneof(
      fc.record({
        target: fc.constantFrom("version", "create", "mod", "lease"),
        operand: fc.oneof<fc.Arbitrary<LeaseId>[]>(
          fc.integer({ min: 0, max: 8 }),
          fc.constantFrom<LeaseId>(...leaseIds),
        ),
      }),
      fc.record({ target: fc.constant("value" as const), operand: value }),
    ),
  )
  .map(([on, result, rest]) => ({ ...on, result, ...rest }));

const operation = (depth: number): fc.Arbitrary<Operation> => {
  const simple = fc.oneof(putOperation, deleteOperation, rangeOperation);
  if (depth === 0) return simple;
  return fc.oneof({ weight: 3, arbitrary: simple }, transaction(depth - 1));
};

const transaction = (depth: number): fc.Arbitrary<Operation> => {
  const list = fc.array(operation(depth), { maxLength: 3 });
  return fc.record({
    type: fc.constant("txn" as const),
    compare: fc.array(compare, { maxLength: 2 }),
    success: list,
    failure: list,
  });
};

const leaseCommand: fc.Arbitrary<LeaseCommand> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant("lease-grant" as const),
      id: fc.constantFrom(...leaseIds),
      ttlSeconds: fc.integer({ min: 1, max: 9 }),
    }),
  },
  fc.record(
    {
      type: fc.constant("lease-revoke" as const),
      id: fc.constantFrom(...leaseIds),
      term: fc.constantFrom(1, 1, 2),
    },
    { requiredKeys: ["type", "id"] },
  ),
  fc.record({
    type: fc.constant("lease-checkpoint" as const),
    term: fc.constantFrom(1, 1, 2),
    leases: fc.array(
      fc.record({ id: fc.constantFrom(...leaseIds), remainingSeconds: fc.integer({ min: 0, max: 12 }) }),
      { maxLength: 3 },
    ),
  }),
);

const command: fc.Arbitrary<Command> = fc
  .oneof(
    { weight: 4, arbitrary: leaseCommand },
    { weight: 6, arbitrary: putOperation },
    { weight: 2, arbitrary: deleteOperation },
    { weight: 4, arbitrary: transaction(2) },
    {
      weight: 1,
      arbitrary: fc.record({
        type: fc.constant("compact" as const),
        revision: written,
      }),
    },
  )
  .map((body) => ({ body }) as Command);

/** How the second machine is treated after a group of entries. */
const treatment = fc.record({
  entries: fc.integer({ min: 1, max: 5 }),
  slice: fc.option(fc.integer({ min: 1, max: 4 })),
  /** Whether the transaction stays open, and what is read in it. */
  hold: fc.boolean(),
  reads: fc.subarray(["reads", "contents", "verify"] as const),
  after: fc.constantFrom("go on", "go on", "lose", "commit", "reopen"),
});
type Treatment = typeof treatment extends fc.Arbitrary<infer T> ? T : never;

/** So few rows that keys drive each other out, and keys of two bytes are not kept at all. */
const keyRowLimits: fc.Arbitrary<KeyRowLimits> = fc.record({
  rowsMax: fc.constantFrom(1, 4, 64),
  waitingMax: fc.constantFrom(0, 1, 64),
  keyBytesMax: fc.constantFrom(1, 64),
});

/** What the plain machine, and the model, said after an entry. */
interface Moment {
  readonly entry: AppliedEntry;
  readonly results: readonly unknown[];
  readonly hash: string;
  readonly reads: readonly unknown[];
  readonly contents: unknown;
}

function acceptable(candidate: Command): boolean {
  try {
    validateCommand(candidate);
    return true;
  } catch (error) {
    if (error instanceof CoracleError) return false;
    throw error;
  }
}

function simplified(result: CommandResult | RangeResult): unknown {
  return result.type === "refused" ? "refused" : result;
}

function read(bench: Bench, op: RangeOperation): unknown {
  try {
    return bench.machine.range(op);
  } catch (error) {
    if (error instanceof CoracleError && error.code.startsWith("revision_")) return "refused";
    throw error;
  }
}

/** Compares everything that can be read. */
function checkContents(bench: Bench, model: Model): void {
  const { machine } = bench;
  assert.equal(machine.revision, model.revision);
  assert.equal(machine.compactRevision, model.compactRevision);
  assert.equal(machine.leases.count, model.leases.size);
  const leases = machine.leases.list(undefined, 2);
  for (let last = leases.at(-1); last !== undefined; ) {
    const more = machine.leases.list(last.id, 2);
    leases.push(...more);
    last = more.at(-1);
  }
  assert.deepEqual(new Map(leases.map(({ id, ...rest }) => [id, rest])), new Map(model.leases));
  for (const id of leaseIds) {
    const attached = model.range(range("", null));
    assert.deepEqual(
      [...machine.leases.keys(id)],
      attached === "refused"
        ? []
        : attached.keys.filter(({ lease }) => lease === id).map((keyValue) => keyValue.key),
    );
  }
  for (let at = 0; at <= model.revision + 1; at++) {
    const op = range("", null, { revision: at });
    assert.deepEqual(read(bench, op), model.range(op), `the content at revision ${at}`);
  }
  const from = Math.max(model.compactRevision, 1);
  for (const rowsMax of [1, 3, 1000]) {
    const seen = [];
    for (let next = from; next <= machine.revision; ) {
      const changes = machine.changes(next, rowsMax);
      if (changes.length === 0) break;
      for (const change of changes) {
        assert.ok(change.revision >= next);
        next = change.revision + 1;
        for (const { seq: _, prev: __, ...row } of change.rows) seen.push(row);
      }
    }
    assert.deepEqual(
      seen,
      model.events.filter(({ modRevision }) => modRevision >= from),
    );
  }
}

/** Applies a group of the entries to come and compares all that it says. */
function applyGroup(bench: Bench, moments: readonly Moment[], at: number, how: Treatment): number {
  const { machine } = bench;
  const group = moments.slice(at, at + how.entries);
  const { hold } = how;
  const outcomes = machine.apply(
    group.map(({ entry }) => entry),
    { hold },
  );
  assert.equal(machine.uncommitted, hold);
  assert.deepEqual(
    outcomes.map((outcome) => (outcome.type === "batch" ? outcome.results.map(simplified) : [])),
    group.map(({ results }) => results),
  );
  if (how.slice !== null) machine.compactSlice(how.slice, { hold });
  return at + group.length;
}

function compareReads(bench: Bench, moment: Moment, reads: readonly RangeOperation[], how: Treatment): void {
  const hash = () => bench.machine.hash();
  assert.equal(hash(), moment.hash);
  for (const what of how.reads) {
    if (what === "verify") bench.machine.verify();
    else if (what === "contents") assert.deepEqual(bench.machine.range(range("", null)), moment.contents);
    else
      assert.deepEqual(
        reads.map((op) => read(bench, op)),
        moment.reads,
      );
  }
  assert.equal(hash(), moment.hash, "no read changes the hash");
}

/** Goes through all entries in groups, each with its treatment. */
function treat(
  bench: Bench,
  moments: readonly Moment[],
  reads: readonly RangeOperation[],
  treatments: readonly Treatment[],
): void {
  let losses = 0;
  for (let at = 0, turn = 0; at < moments.length; turn++) {
    const how = present(treatments[turn % treatments.length], "a treatment");
    at = applyGroup(bench, moments, at, how);
    const moment = present(moments[at - 1], "the last entry of the group");
    compareReads(bench, moment, reads, how);
    if (how.after === "commit" || how.after === "reopen") bench.machine.commit();
    if (how.after === "reopen") bench.reopen();
    if (how.after === "lose" && bench.machine.uncommitted && losses++ < 3) {
      bench.db.exec("ROLLBACK");
      assert.throws(() => bench.machine.commit(), TransactionLost);
      at = bench.machine.appliedIndex;
      const last = moments[at - 1];
      if (last !== undefined) compareReads(bench, last, reads, how);
    } else assert.equal(bench.machine.hash(), moment.hash, "neither a commit nor a restart changes the hash");
  }
  bench.machine.commit();
}

test(`the state machine does what the model does (SEED=${seed} RUNS=${runs})`, { timeout: 600_000 }, () => {
  fc.assert(
    fc.property(
      fc.array(fc.array(command, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 14 }),
      fc.array(treatment, { minLength: 1, maxLength: 8 }),
      fc.array(rangeOperation, { minLength: 3, maxLength: 8 }),
      keyRowLimits,
      (batches, treatments, reads, limits) => {
        const model = new Model();
        const plain = new Bench();
        const moments: Moment[] = [];
        for (const batch of batches) {
          const commands = batch.filter(acceptable);
          const entry = plain.entry({ type: "batch", batch: { timeMs: 5, commands } });
          const outcome = plain.machine.apply([entry])[0];
          const results = outcome?.type === "batch" ? outcome.results.map(simplified) : [];
          assert.deepEqual(
            results,
            commands.map((one) => model.apply(one)),
          );
          const said = reads.map((op) => read(plain, op));
          assert.deepEqual(
            said,
            reads.map((op) => model.range(op)),
          );
          const contents = plain.machine.range(range("", null));
          moments.push({ entry, results, hash: plain.machine.hash(), reads: said, contents });
        }
        checkContents(plain, model);

        const treated = new Bench(undefined, undefined, limits);
        treat(treated, moments, reads, treatments);
        while (!treated.machine.compactSlice(3).done) treated.machine.verify();
        treated.machine.verify();
        assert.equal(treated.machine.compactionPending, false);
        checkContents(treated, model);
        treated.reopen();
        checkContents(treated, model);
        for (const op of reads) assert.deepEqual(read(treated, op), model.range(op));
      },
    ),
    { seed, numRuns: runs },
  );
});
