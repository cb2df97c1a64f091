import { describeStep, type Json, type Step } from "./steps.ts";

/** Where coracle means to answer otherwise than etcd 3.4; docs/etcd-compatibility.md says each to users. */
export interface Difference {
  readonly name: string;
  readonly reason: string;
  readonly applies: (step: Step, etcd: Answer, coracle: Answer) => boolean;
  /** The stores differ from here on: what follows in the seed cannot be compared. */
  readonly ends?: boolean;
}

export interface Answer {
  readonly status: number;
  readonly body: Json;
}

const field = (json: Json, name: string): Json | undefined =>
  typeof json === "object" && json !== null && !Array.isArray(json)
    ? (json as { readonly [name: string]: Json })[name]
    : undefined;
const messageOf = (answer: Answer): string => String(field(answer.body, "message") ?? "");
const codeOf = (answer: Answer): number => Number(field(answer.body, "code") ?? 0);
const pathOf = (step: Step): string => ("path" in step ? step.path : "");

const negativeRevision = /"revision":"?(-|\{"\$(rev|number)":-)/;

export const differences: readonly Difference[] = [
  {
    name: "decoder texts",
    reason:
      "What is wrong with a body is told in Go's words where they are easy to tell; status and code are the same.",
    applies: (_, etcd, coracle) =>
      etcd.status === coracle.status &&
      codeOf(etcd) === codeOf(coracle) &&
      codeOf(etcd) > 0 &&
      !messageOf(etcd).startsWith("etcdserver:"),
  },
  {
    name: "put under a nested delete from a key on",
    reason:
      "etcd overlooks that a nested delete with the range end \\0 covers the key of a put; here it is a duplicate key.",
    applies: (step, _, coracle) =>
      pathOf(step).endsWith("/kv/txn") &&
      messageOf(coracle) === "etcdserver: duplicate key given in txn request",
    ends: true,
  },
  {
    name: "negative revision in a transaction",
    reason:
      "A range at a revision below 0 reads the present, as it does outside of a transaction; etcd says compacted.",
    applies: (step, etcd, coracle) =>
      pathOf(step).endsWith("/kv/txn") &&
      codeOf(etcd) === 11 &&
      messageOf(coracle) !== messageOf(etcd) &&
      negativeRevision.test(describeStep(step)),
    ends: true,
  },
  {
    name: "members add themselves",
    reason: "A member of coracle joins with --join and tells its own address; add and update are refused.",
    applies: (step, etcd, coracle) =>
      /\/cluster\/member\/(add|update)$/.test(pathOf(step)) && codeOf(coracle) === 12 && codeOf(etcd) !== 3,
  },
  {
    name: "quota in a member's status",
    reason: "dbSizeQuota is told as by etcd 3.6; the one that is compared with does not have it yet.",
    applies: (step, etcd, coracle) =>
      pathOf(step).endsWith("/maintenance/status") &&
      etcd.status === coracle.status &&
      sameBut("dbSizeQuota", etcd.body, coracle.body),
  },
  {
    name: "leader transfer at a follower",
    reason: "A follower refuses the transfer as etcd's does; the etcd that is compared with has no follower.",
    applies: (step, etcd, coracle) =>
      pathOf(step).endsWith("/transfer-leadership") &&
      messageOf(etcd) === "etcdserver: bad leader transferee" &&
      messageOf(coracle) === "etcdserver: not leader",
  },
];

/** Whether the second has that field besides the first one's. */
function sameBut(name: string, less: Json, more: Json): boolean {
  if (field(more, name) === undefined) return false;
  const { [name]: _, ...rest } = more as { readonly [name: string]: Json };
  return JSON.stringify(less) === JSON.stringify(rest);
}

export function allowed(step: Step, etcd: Answer, coracle: Answer): Difference | undefined {
  return differences.find(({ applies }) => applies(step, etcd, coracle));
}

export function showDifference(step: Step, etcd: Json, coracle: Json): string {
  return `${describeStep(step)}\n    etcd:    ${JSON.stringify(etcd)}\n    coracle: ${JSON.stringify(coracle)}`;
}
