import { type Known, lease } from "./kv-steps.ts";
import { base64, type Json, type Step } from "./steps.ts";
import type { Values } from "./values.ts";

function call(path: string, body: Json, member: number): Step {
  return { kind: "call", path, body, member };
}

/** One call about leases. */
export function leaseStep(v: Values, known: Known, member: number): Step {
  const id = lease(v, known);
  switch (v.below(9)) {
    case 0:
      return call(
        "/v3/lease/grant",
        { TTL: v.pick<Json>([60, "200", "9000000001", v.oddInt()]), ID: id },
        member,
      );
    case 1:
      return call("/v3/lease/grant", { TTL: 300, ID: 0 }, member);
    case 2:
    case 3:
      return call(v.pick(["/v3/lease/revoke", "/v3/kv/lease/revoke"]), { ID: id }, member);
    case 4:
    case 5:
      return call(
        v.pick(["/v3/lease/timetolive", "/v3/kv/lease/timetolive"]),
        { ID: id, ...v.maybe(2, "keys", () => true) },
        member,
      );
    case 6:
      return call(v.pick(["/v3/lease/leases", "/v3/kv/lease/leases"]), {}, member);
    default:
      return call("/v3/lease/keepalive", { ID: id }, member);
  }
}

/** Granted by no step: a lock with a lease that exists would wait. */
const unknownLease = 4242;

/** A lock that one lease holds and another waits for. */
export function lockSteps(v: Values, at: number, member: () => number): Step[] {
  const [first, second] = [5000 + at, 6000 + at];
  const name = `lock${v.below(2)}`;
  const keyOf = (id: number): string => base64(`${name}/${id.toString(16)}`);
  const steps: Step[] = [
    call("/v3/lease/grant", { TTL: 500, ID: first }, member()),
    call("/v3/lease/grant", { TTL: 500, ID: second }, member()),
    call("/v3/lock/lock", { name: base64(name), lease: first }, member()),
  ];
  if (v.oneIn(3)) steps.push(call("/v3/lock/lock", { name: base64(name), lease: first }, member()));
  if (v.oneIn(4)) steps.push(call("/v3/lock/lock", { name: base64(name), lease: unknownLease }, member()));
  if (v.oneIn(2)) {
    const body = { name: base64(name), lease: second };
    const prefix = base64(`${name}/`);
    steps.push({ kind: "wait", path: "/v3/lock/lock", body, member: member(), prefix, keys: 2 });
  }
  const release: Step = v.oneIn(3)
    ? call("/v3/lease/revoke", { ID: first }, member())
    : call("/v3/lock/unlock", { key: keyOf(first) }, member());
  steps.push(release, { kind: "settle" });
  if (v.oneIn(3)) steps.push(call("/v3/lock/unlock", { key: v.pick(["", keyOf(first)]) }, member()));
  steps.push(call("/v3/lease/revoke", { ID: second }, member()));
  return steps;
}

/** An election with a leader, and perhaps one who waits. */
export function electionSteps(v: Values, at: number, member: () => number): Step[] {
  const [first, second] = [7000 + at, 8000 + at];
  const name = base64(`el${v.below(2)}`);
  const observed: Step = {
    kind: "open",
    id: `o${at}`,
    path: "/v3/election/observe",
    documents: [{ name }],
    member: member(),
  };
  const steps: Step[] = [
    call("/v3/election/leader", { name }, member()),
    call("/v3/lease/grant", { TTL: 500, ID: first }, member()),
    call("/v3/lease/grant", { TTL: 500, ID: second }, member()),
  ];
  const elected = at + steps.length;
  steps.push(call("/v3/election/campaign", { name, lease: first, value: v.value() }, member()));
  if (v.oneIn(2)) steps.push(observed);
  steps.push(call("/v3/election/leader", { name }, member()));
  const leader: Json = { $answer: [elected, "leader"] };
  if (v.oneIn(2)) steps.push(call("/v3/election/proclaim", { leader, value: v.value() }, member()));
  if (v.oneIn(3)) steps.push(call("/v3/election/proclaim", { value: v.value() }, member()));
  if (v.oneIn(2)) {
    const body = { name, lease: second, value: v.value() };
    const prefix = base64(`${Buffer.from(name, "base64").toString("latin1")}/`);
    steps.push({ kind: "wait", path: "/v3/election/campaign", body, member: member(), prefix, keys: 2 });
  }
  steps.push(call("/v3/election/resign", { leader }, member()), { kind: "settle" });
  if (v.oneIn(3)) steps.push(call("/v3/election/resign", { leader }, member()));
  if (v.oneIn(3)) steps.push(call("/v3/election/proclaim", { leader, value: v.value() }, member()));
  steps.push(call("/v3/lease/revoke", { ID: second }, member()));
  return steps;
}

/** What is asked for its shape, or refused. */
export function otherStep(v: Values, member: number): Step {
  if (v.oneIn(8)) {
    const value = Buffer.alloc(v.pick([1_000_000, 1_600_000, 2_000_000, 2_200_000])).toString("base64");
    return call("/v3/kv/put", { key: base64("large"), value }, member);
  }
  return v.pick<Step>([
    call("/v3/maintenance/status", {}, member),
    call("/v3/maintenance/hash", {}, member),
    call("/v3/maintenance/alarm", {}, member),
    call("/v3/maintenance/defragment", {}, member),
    call("/v3/maintenance/transfer-leadership", { targetID: "12345" }, 0),
    call("/v3/cluster/member/list", {}, member),
    call("/v3/cluster/member/remove", { ID: "12345" }, member),
    call("/v3/cluster/member/promote", { ID: "12345" }, member),
    call("/v3/cluster/member/update", { ID: "12345", peerURLs: ["nonsense"] }, member),
    call("/v3/cluster/member/update", { ID: "12345", peerURLs: ["http://127.0.0.1:1"] }, member),
    call("/v3/cluster/member/add", { peerURLs: ["nonsense"] }, member),
    call("/v3/cluster/member/add", { peerURLs: [] }, member),
    call("/v3/auth/authenticate", { name: "root", password: "x" }, member),
  ]);
}
