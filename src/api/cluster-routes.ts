import type { Context } from "hono";
import * as v from "valibot";
import { CoracleError } from "../base/errors.ts";
import type { MemberRecord } from "../base/members.ts";
import { readDocument } from "./body.ts";
import type { ApiContext, Handler } from "./context.ts";
import { headDocument, memberDocument, statusDocument } from "./documents.ts";
import { invalidArgument, quoted } from "./errors.ts";
import { type Document, documentForms, documentResponse, negotiate } from "./media.ts";
import { decodePercent } from "./percent.ts";
import { parseQuery, queryOf } from "./query.ts";

const noParameters = v.object({});
const leaderBody = v.strictObject(
  {
    member: v.optional(
      v.union(
        [v.pipe(v.string(), v.nonEmpty()), v.pipe(v.number(), v.safeInteger())],
        "must be a member's name or id",
      ),
    ),
  },
  'must be an object such as {"member": "n2"}',
);

type ClusterRoute = "members" | "remove" | "promote" | "leader" | "transfer" | "leave" | "status";

/** Membership, leadership and the state of every member. */
export function clusterRoutes(api: ApiContext): Readonly<Record<ClusterRoute, Handler>> {
  const cluster = api.service.cluster;
  const documented = (action: (c: Context) => Document | Promise<Document>): Handler => {
    return async (c) => {
      parseQuery(noParameters, queryOf(c.req.raw.url));
      const form = negotiate(c.req.raw.headers.get("accept"), documentForms);
      return documentResponse(form, await action(c), 200, {});
    };
  };
  return {
    members: documented(() => ({
      ...headDocument(cluster.head()),
      members: cluster.members().map(memberDocument),
    })),
    remove: documented(async (c) => {
      const member = memberNamed(api, memberParameter(c));
      await cluster.removeMember(member.id);
      return { removed: memberDocument(member) };
    }),
    promote: documented(async (c) => {
      const member = memberNamed(api, memberParameter(c));
      await cluster.promoteMember(member.id);
      return { promoted: { ...memberDocument(member), learner: false } };
    }),
    leader: documented(() => {
      const leader = cluster.leader();
      if (leader === undefined)
        throw new CoracleError("no_leader", "This member knows of no leader now; ask again.");
      return { ...headDocument(cluster.head()), leader: memberDocument(leader) };
    }),
    transfer: documented(async (c) => {
      const { member } = await readDocument(c.req.raw, 64 * 1024, leaderBody, {});
      const target = member === undefined ? undefined : memberNamed(api, member);
      const leader = await cluster.transferLeadership(target?.id);
      return { leader: memberDocument(leader) };
    }),
    leave: documented(async () => {
      const head = cluster.head();
      await cluster.leave();
      return { left: { id: head.memberId, name: head.memberName } };
    }),
    status: documented(async () => {
      const members = (await cluster.status()).map(statusDocument);
      return { ...headDocument(cluster.head()), members };
    }),
  };
}

function memberParameter(c: Context): string {
  const encoded = c.req.path.split("/")[3] ?? "";
  const bytes = decodePercent(encoded, false);
  if (bytes === null) throw invalidArgument("The path has a % that two hexadecimal digits do not follow.");
  return new TextDecoder().decode(bytes);
}

/** A member by its id or name; an id is looked for first. */
function memberNamed(api: ApiContext, idOrName: string | number): MemberRecord {
  const members = api.service.cluster.members();
  const id = typeof idOrName === "number" ? idOrName : /^\d{1,16}$/.test(idOrName) ? Number(idOrName) : 0;
  const member =
    members.find((record) => record.id === id) ?? members.find((record) => record.name === idOrName);
  if (member !== undefined) return member;
  const names = members.map((record) => record.name).join(", ");
  throw new CoracleError(
    "member_not_found",
    `There is no member with the id or name ${quoted(String(idOrName))}; the members are ${names}.`,
  );
}
