import { compareBytes } from "../base/bytes.ts";
import { CoracleError } from "../base/errors.ts";
import { compareInt64 } from "../base/int64.ts";
import type { MemberRecord } from "../base/members.ts";
import type {
  Command,
  CommandResult,
  Compare,
  KeyRange,
  KeyValue,
  LeaseId,
  Operation,
  OperationResult,
  RangeOperation,
  RangeResult,
} from "../kv/types.ts";
import { validateCommand, validateRangeOperation } from "../kv/validate.ts";
import type { ClusterHead, ClusterService, Consistency, KvService, Service } from "../service/service.ts";
import { FakeLeases } from "./fake-leases.test-support.ts";
import { FakeWatches } from "./fake-watches.test-support.ts";

/** A version of a key: absent when it was deleted at that revision. */
interface Version {
  readonly revision: number;
  readonly keyValue: KeyValue | undefined;
}

const unserved = (): never => {
  throw new CoracleError("internal", "The fake does not serve that.");
};

/**
 * For tests: a service in memory, with the whole history and the rules of the state machine as far
 * as the HTTP face shows them. `failWith` makes the next call fail.
 */
export class FakeService implements Service {
  readonly kv: { -readonly [Method in keyof KvService]: KvService[Method] };
  readonly cluster: FakeCluster;
  readonly leases = new FakeLeases(this);
  readonly watches = new FakeWatches(this);
  readonly maintenance: Service["maintenance"] = {
    hash: unserved,
    snapshot: unserved,
    storage: () => ({ bytes: 10, usedBytes: 7, full: this.full }),
    compacted: async () => {
      this.physicallyCompacted = this.watches.compactRevision;
    },
  };
  physicallyCompacted = 0;
  /** Why writes that grow the store are refused. */
  full: string | undefined;
  readonly commands: Command[] = [];
  readonly reads: { readonly request: RangeOperation; readonly consistency: Consistency }[] = [];
  /** Off when a benchmark would fill the memory. */
  recording = true;
  revision = 1;
  failWith: unknown;
  /** When given, calls wait for it, and tell so. */
  gate: Promise<void> | undefined;
  onWaiting = (): void => {};
  readonly #versions = new Map<string, Version[]>();
  readonly #answers = new Map<string, Exclude<CommandResult, { type: "refused" }>>();

  constructor() {
    this.cluster = new FakeCluster(this);
    this.kv = {
      propose: async (command) => {
        await this.enter();
        validateCommand(command);
        if (this.recording) this.commands.push(command);
        return this.#propose(command);
      },
      range: async (request, consistency, admit) => {
        await this.enter();
        validateRangeOperation(request);
        admit?.();
        if (this.recording) this.reads.push({ request, consistency });
        return this.#range(request);
      },
    };
  }

  async enter(): Promise<void> {
    if (this.gate !== undefined) {
      this.onWaiting();
      await this.gate;
    }
    if (this.failWith === undefined) return;
    const failure = this.failWith;
    this.failWith = undefined;
    throw failure;
  }

  /** The live keys that hang on a lease. */
  keysOf(lease: LeaseId): Uint8Array[] {
    return this.#select({ key: new Uint8Array(1), end: null }, this.revision)
      .filter((keyValue) => keyValue.lease === lease)
      .map(({ key }) => key);
  }

  deleteKeys(keys: readonly Uint8Array[]): void {
    const next = this.revision + 1;
    for (const key of keys) this.#write(key, next, undefined);
  }

  #propose(command: Command): Exclude<CommandResult, { type: "refused" }> {
    const { body, idempotencyKey } = command;
    const known = idempotencyKey === undefined ? undefined : this.#answers.get(idempotencyKey);
    if (known !== undefined) return known;
    if (body.type === "compact") {
      this.watches.compact(body.revision);
      return { type: "compact", revision: this.revision };
    }
    if (!("key" in body) && body.type !== "txn")
      throw new CoracleError("invalid_argument", `The fake does no ${body.type}.`);
    const next = this.revision + 1;
    const result = this.#run(body, next);
    if (idempotencyKey !== undefined) this.#answers.set(idempotencyKey, result);
    return result;
  }

  #run(operation: Operation, next: number): OperationResult {
    switch (operation.type) {
      case "put": {
        this.leases.require(operation.lease);
        const before = this.#now(operation.key);
        const keyValue: KeyValue = {
          key: operation.key,
          value: operation.keepValue === true && before !== undefined ? before.value : operation.value,
          createRevision: before?.createRevision ?? next,
          modRevision: next,
          version: (before?.version ?? 0) + 1,
          lease: operation.lease,
        };
        this.#write(operation.key, next, keyValue);
        return { type: "put", revision: next, ...(operation.previous && before && { previous: before }) };
      }
      case "delete": {
        const found = this.#select(operation, this.revision);
        for (const { key } of found) this.#write(key, next, undefined);
        return {
          type: "delete",
          revision: this.revision,
          deleted: found.length,
          previous: operation.previous ? found : [],
        };
      }
      case "range":
        return this.#range(operation);
      case "txn": {
        const succeeded = operation.compare.every((compare) => this.#holds(compare));
        const branch = succeeded ? operation.success : operation.failure;
        const responses = branch.map((inner) => this.#run(inner, next));
        return { type: "txn", revision: this.revision, succeeded, responses };
      }
    }
  }

  #write(key: Uint8Array, revision: number, keyValue: KeyValue | undefined): void {
    const name = key.toHex();
    const versions = this.recording ? (this.#versions.get(name) ?? []) : [];
    versions.push({ revision, keyValue });
    this.#versions.set(name, versions);
    this.revision = revision;
    this.watches.written(key, revision, keyValue);
  }

  #now(key: Uint8Array): KeyValue | undefined {
    return this.#versions.get(key.toHex())?.at(-1)?.keyValue;
  }

  #select(range: KeyRange, revision: number): KeyValue[] {
    const { key, end } = range;
    if (end === undefined) {
      const versions = this.#versions.get(key.toHex()) ?? [];
      const found = versions.findLast((version) => version.revision <= revision)?.keyValue;
      return found === undefined ? [] : [found];
    }
    const found: KeyValue[] = [];
    for (const versions of this.#versions.values()) {
      const keyValue = versions.findLast((version) => version.revision <= revision)?.keyValue;
      if (keyValue === undefined || compareBytes(keyValue.key, key) < 0) continue;
      if (end === null || compareBytes(keyValue.key, end) < 0) found.push(keyValue);
    }
    return found.sort((a, b) => compareBytes(a.key, b.key));
  }

  #range(request: RangeOperation): RangeResult {
    if (request.revision > this.revision) {
      throw new CoracleError("revision_future", `Revision ${request.revision} lies after ${this.revision}.`);
    }
    const all = this.#select(request, request.revision === 0 ? this.revision : request.revision).filter(
      ({ createRevision }) => createRevision <= (request.maxCreateRevision ?? Number.POSITIVE_INFINITY),
    );
    // Only what locks and elections ask for: by age.
    if (request.sort !== undefined) {
      const direction = request.sort.descending ? -1 : 1;
      all.sort((a, b) => direction * (a.createRevision - b.createRevision));
    }
    const limited = request.limit === 0 ? all : all.slice(0, request.limit);
    const keys = request.countOnly === true ? [] : limited;
    return {
      type: "range",
      revision: this.revision,
      keys: request.keysOnly === true ? keys.map((found) => ({ ...found, value: new Uint8Array(0) })) : keys,
      count: all.length,
      more: request.countOnly !== true && all.length > limited.length,
    };
  }

  #holds(compare: Compare): boolean {
    if (compare.end === undefined) return this.#holdsFor(compare, this.#now(compare.key));
    return this.#select(compare, this.revision).every((found) => this.#holdsFor(compare, found));
  }

  #holdsFor(compare: Compare, found: KeyValue | undefined): boolean {
    if (compare.operand instanceof Uint8Array) {
      return found !== undefined && matches(compare, compareBytes(found.value, compare.operand));
    }
    const fields = {
      version: found?.version,
      create: found?.createRevision,
      mod: found?.modRevision,
      lease: found?.lease,
    };
    const actual = compare.target === "value" ? undefined : fields[compare.target];
    return matches(compare, compareInt64(actual ?? 0, compare.operand));
  }
}

function matches(compare: Compare, difference: number): boolean {
  switch (compare.result) {
    case "equal":
      return difference === 0;
    case "not-equal":
      return difference !== 0;
    case "greater":
      return difference > 0;
    case "less":
      return difference < 0;
  }
}

function member(id: number, name: string, learner = false): MemberRecord {
  const clientUrls = [`http://127.0.0.1:${20_000 + id}`];
  return { id, name, peerAddress: `127.0.0.1:${30_000 + id}`, clientUrls, grpcUrls: [], learner };
}

class FakeCluster implements ClusterService {
  leaderId = 1;
  records: MemberRecord[] = [member(1, "n1"), member(2, "n2"), member(3, "n3", true)];
  ready = { ready: true, reason: "" };
  left = false;
  readonly #service: FakeService;

  constructor(service: FakeService) {
    this.#service = service;
  }

  head(): ClusterHead {
    const { revision } = this.#service;
    return {
      clusterId: 7_000_000_000_000_000,
      memberId: 1,
      memberName: "n1",
      term: 2,
      leaderId: this.leaderId,
      revision,
      appliedIndex: revision + 3,
    };
  }
  members(): readonly MemberRecord[] {
    return this.records;
  }
  leader(): MemberRecord | undefined {
    return this.records.find((record) => record.id === this.leaderId);
  }
  async status() {
    await this.#service.enter();
    return this.records.map((record) => ({
      member: record,
      reachable: record.id === 1,
      ...(record.id === 1 && {
        role: "leader" as const,
        term: 2,
        leaderId: 1,
        revision: this.#service.revision,
      }),
    }));
  }
  async removeMember(id: number): Promise<void> {
    await this.#service.enter();
    this.records = this.records.filter((record) => record.id !== id);
  }
  async promoteMember(id: number): Promise<void> {
    await this.#service.enter();
    this.records = this.records.map((record) => (record.id === id ? { ...record, learner: false } : record));
  }
  async transferLeadership(to?: number): Promise<MemberRecord> {
    await this.#service.enter();
    this.leaderId = to ?? 2;
    const leader = this.leader();
    if (leader === undefined || leader.learner)
      throw new CoracleError("bad_transferee", "A learner cannot lead.");
    return leader;
  }
  async leave(): Promise<void> {
    await this.#service.enter();
    this.left = true;
  }
  readiness(): { readonly ready: boolean; readonly reason: string } {
    return this.ready;
  }
}
