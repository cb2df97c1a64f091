import { getJson } from "./client.ts";

/** The parts of the cluster's answers that the scripts look at. */

export interface MemberView {
  readonly id: string;
  readonly name: string;
  readonly learner: boolean;
}

export interface HeadView {
  readonly clusterId: string;
  readonly memberId: string;
  readonly term: number;
  /** "0" when none is known. */
  readonly leaderId: string;
  readonly revision: number;
  readonly appliedIndex: number;
}

type Document = Readonly<Record<string, unknown>>;

function asDocument(value: unknown): Document {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new Error(`expected a JSON object, got ${JSON.stringify(value)}`);
  return value as Document;
}

function field(document: Document, name: string): unknown {
  if (document[name] !== undefined) return document[name];
  throw new Error(`no ${name} in ${JSON.stringify(document)}`);
}

export async function readMembers(endpoint: string): Promise<MemberView[]> {
  const members = field(asDocument(await getJson(endpoint, "/v1/members")), "members");
  if (!Array.isArray(members)) throw new Error("members is no list");
  return members.map((value) => {
    const member = asDocument(value);
    return {
      id: String(field(member, "id")),
      name: String(field(member, "name")),
      learner: Boolean(member.learner ?? false),
    };
  });
}

/** This member's own view, without asking the others (as `/v1/status` would). */
export async function readHead(endpoint: string): Promise<HeadView> {
  const head = asDocument(await getJson(endpoint, "/v1/members"));
  return {
    clusterId: String(field(head, "cluster_id")),
    memberId: String(field(head, "member_id")),
    term: Number(field(head, "term")),
    leaderId: String(head.leader_id ?? 0),
    revision: Number(field(head, "revision")),
    appliedIndex: Number(field(head, "applied_index")),
  };
}
