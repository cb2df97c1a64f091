import { utf8 } from "../base/bytes.ts";
import type { ErrorCode } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { MemberChange, MemberRecord } from "../base/members.ts";
import type { SqliteDatabase, SqliteStatement, SqlValue } from "../base/sqlite.ts";
import { addBytes, addNumber } from "./checksum.ts";
import { damaged } from "./schema.ts";
import type { State } from "./state.ts";
import type { Membership, Refused } from "./types.ts";

/**
 * The members of the cluster as the applied log says. Rules that must hold whatever was proposed
 * are kept here; when a change may be proposed is the node's and raft's matter.
 */
export class MemberTable {
  readonly #state: State;
  readonly #insert: SqliteStatement;
  readonly #delete: SqliteStatement;
  readonly #insertRemoved: SqliteStatement;
  readonly #all: SqliteStatement;
  readonly #allRemoved: SqliteStatement;
  #membership: Membership = { clusterId: 0, members: [], removed: [] };

  constructor(db: SqliteDatabase, state: State) {
    this.#state = state;
    this.#insert = db.prepare("INSERT OR REPLACE INTO member VALUES (?, ?, ?, ?, ?, ?, ?)");
    this.#delete = db.prepare("DELETE FROM member WHERE id = ?");
    this.#insertRemoved = db.prepare("INSERT INTO removed_member VALUES (?)");
    this.#all = db.prepare(
      "SELECT id, name, peer_address, client_urls, grpc_urls, learner, checksum FROM member ORDER BY id",
    );
    this.#allRemoved = db.prepare("SELECT id FROM removed_member ORDER BY id");
  }

  /** The members sorted by id. The same object until something changes. */
  get membership(): Membership {
    return this.#membership;
  }

  /** Gives back an earlier membership, after the transaction that changed it was rolled back. */
  restore(membership: Membership): void {
    this.#membership = membership;
  }

  load(): void {
    const members = this.#all.all().map(parseMember);
    const removed = this.#allRemoved.all().map(([id]) => id as number);
    this.#membership = { clusterId: this.#state.clusterId, members, removed };
  }

  /** The first content, as the bootstrap of the cluster decided it. */
  create(initial: Membership): void {
    for (const member of initial.members) this.#store(member);
    for (const id of initial.removed) this.#remove(id);
    this.load();
  }

  /** Applies a change inside the transaction of the caller, or says why not. */
  apply(change: MemberChange): Refused | undefined {
    const refused = this.#check(change);
    if (refused !== undefined) return refused;
    switch (change.op) {
      case "add-learner":
        this.#store({ ...change.member, learner: true });
        break;
      case "promote":
        this.#store({ ...this.#get(change.id), learner: false });
        break;
      case "remove":
        this.#delete.run(change.id);
        this.#remove(change.id);
        break;
      case "update":
        this.#store({ ...change.member, learner: this.#get(change.member.id).learner });
        break;
    }
    this.load();
    return undefined;
  }

  #check(change: MemberChange): Refused | undefined {
    const { members, removed } = this.#membership;
    if (change.op === "add-learner") {
      const { id } = change.member;
      if (removed.includes(id)) {
        return refuse(
          "invalid_argument",
          `Member ${id} was removed and is never admitted again: join with a new id.`,
        );
      }
      if (members.some((member) => member.id === id)) {
        return refuse("member_exists", `Member ${id} is in the cluster already.`);
      }
      if (members.length >= limits.membersMax) {
        return refuse(
          "invalid_argument",
          `The cluster has ${members.length} members, which is the most: remove one first.`,
        );
      }
      return this.#checkUnique(change.member);
    }
    const id = change.op === "update" ? change.member.id : change.id;
    const member = members.find((candidate) => candidate.id === id);
    if (member === undefined) return refuse("member_not_found", `There is no member ${id} in the cluster.`);
    if (change.op === "update") return this.#checkUnique(change.member);
    if (change.op === "promote" && !member.learner) {
      return refuse(
        "precondition_failed",
        `Member ${id} is a voter already: only a learner can be promoted.`,
      );
    }
    const voters = members.filter((candidate) => !candidate.learner);
    if (change.op === "remove" && !member.learner && voters.length === 1) {
      return refuse("quorum_at_risk", `Member ${id} is the last voter: a cluster needs one.`);
    }
    return undefined;
  }

  /** Name and peer address belong to one member only. */
  #checkUnique({ id, name, peerAddress }: MemberRecord): Refused | undefined {
    for (const other of this.#membership.members) {
      if (other.id === id) continue;
      if (other.name === name)
        return refuse("name_taken", `The name "${name}" belongs to member ${other.id}.`);
      if (other.peerAddress === peerAddress) {
        return refuse("member_exists", `The peer address ${peerAddress} belongs to member ${other.id}.`);
      }
    }
    return undefined;
  }

  #get(id: number): MemberRecord {
    const member = this.#membership.members.find((candidate) => candidate.id === id);
    if (member === undefined) throw damaged(`state.db lacks member ${id}`);
    return member;
  }

  #remove(id: number): void {
    this.#insertRemoved.run(id);
    this.#state.chain(addNumber(id, 0));
  }

  #store(member: MemberRecord): void {
    const { id, name, peerAddress, learner } = member;
    const texts: [string, string, string, string] = [
      name,
      peerAddress,
      JSON.stringify(member.clientUrls),
      JSON.stringify(member.grpcUrls),
    ];
    const flag = learner ? 1 : 0;
    const checksum = memberChecksum(id, texts, flag);
    this.#insert.run(id, ...texts, flag, checksum);
    this.#state.chain(checksum);
  }
}

function refuse(code: ErrorCode, message: string): Refused {
  return { type: "refused", code, message };
}

function memberChecksum(id: number, texts: readonly string[], learner: number): number {
  let checksum = addNumber(learner, addNumber(id, 0));
  for (const text of texts) {
    const bytes = utf8(text);
    checksum = addNumber(bytes.length, addBytes(bytes, checksum));
  }
  return checksum;
}

function parseMember(row: SqlValue[]): MemberRecord {
  const [id, name, peerAddress, clientUrls, grpcUrls, learner, checksum] = row as [
    number,
    string,
    string,
    string,
    string,
    number,
    number,
  ];
  if (memberChecksum(id, [name, peerAddress, clientUrls, grpcUrls], learner) !== checksum) {
    throw damaged(`The checksum of member ${id} in state.db is wrong`);
  }
  return {
    id,
    name,
    peerAddress,
    clientUrls: JSON.parse(clientUrls) as string[],
    grpcUrls: JSON.parse(grpcUrls) as string[],
    learner: learner === 1,
  };
}
