import type { Clock } from "../base/clock.ts";
import { CoracleError } from "../base/errors.ts";
import type { Node } from "../node/node.ts";
import type { ClusterService, KvService, MemberStatus, Service } from "../service/service.ts";
import type { Identity } from "../storage/types.ts";
import { createMaintenance, type MaintenanceFiles } from "./member-maintenance.ts";
import type { MemberParts } from "./member-parts.ts";

export interface MemberServiceOptions {
  readonly node: Node;
  readonly identity: Identity;
  readonly parts: MemberParts["services"];
  readonly files: MaintenanceFiles;
  readonly clock: Clock;
  readonly quotaBytes?: number;
  /** The member left its cluster, as it was asked to. */
  readonly onLeft: () => void;
  /** Why the member is not ready, whatever its node says. */
  readonly unready?: () => string | undefined;
}

/** The faces' view of a member. Nothing is decided here. */
export function memberService({
  node,
  identity,
  parts,
  files,
  clock,
  quotaBytes,
  onLeft,
  unready,
}: MemberServiceOptions): Service {
  const kv: KvService = {
    propose: (command) => node.propose(command),
    range: (request, consistency, admit) => node.range(request, consistency, admit),
  };
  const { cluster: view } = node;
  const cluster: ClusterService = {
    head: () => {
      const { term, leader, applied } = node.raftStatus();
      return {
        clusterId: identity.clusterId,
        memberId: identity.memberId,
        memberName: identity.name,
        term,
        leaderId: leader,
        revision: node.revision,
        appliedIndex: applied,
      };
    },
    members: () => view.members(),
    leader: () => view.leader(),
    status: async () =>
      (await view.status()).map(({ member, status }): MemberStatus => {
        return status === undefined ? { member, reachable: false } : { member, reachable: true, ...status };
      }),
    removeMember: (id) => view.removeMember(id),
    promoteMember: (id) => view.promoteMember(id),
    transferLeadership: async (to) => {
      const leader = await view.transferLeadership(to);
      const member = view.members().find(({ id }) => id === leader);
      if (member === undefined) throw new CoracleError("no_leader", "The new leader is not known here yet.");
      return member;
    },
    leave: async () => {
      await view.leave();
      onLeft();
    },
    readiness: () => {
      const reason = unready?.();
      return reason === undefined ? view.readiness() : { ready: false, reason };
    },
  };
  const maintenance = createMaintenance({
    clock,
    state: () => node.state,
    settle: () => node.settle(),
    files,
    full: () => view.full(),
    ...(quotaBytes === undefined ? {} : { quotaBytes }),
  });
  return { kv, cluster, maintenance, ...parts };
}
