import { getLogger } from "@logtape/logtape";
import { present } from "../base/assert.ts";
import type { Clock } from "../base/clock.ts";
import { CoracleError, messageOf } from "../base/errors.ts";
import type { MemberRecord } from "../base/members.ts";
import { pause } from "../base/pause.ts";
import { randomId } from "../base/prng.ts";
import {
  type BootstrapPlan,
  type ProbeResponse,
  parseBody,
  planResponseSchema,
  probeResponseSchema,
} from "../wire/requests.ts";
import type { Ask } from "./ask.ts";
import type { BootstrapDesk } from "./bootstrap-desk.ts";

const log = getLogger(["coracle", "discovery"]);

/*
 * How members that start at once with empty disks become one cluster. Why it is never two stands in
 * docs/internals/bootstrap.md; in short: a cluster begins only after every one of its members has
 * accepted its plan durably, and a member accepts one plan ever.
 */

/** Where a founding member is expected. */
export interface BootstrapTarget {
  /** From `--initial-cluster`; SRV records have no names. */
  readonly name?: string;
  readonly address: string;
}

export interface BootstrapOptions {
  readonly desk: BootstrapDesk;
  readonly ask: Ask;
  readonly clock: Clock;
  /** Asked again in each round: records may appear one by one. May throw; it is then tried again. */
  readonly targets: () => Promise<readonly BootstrapTarget[]>;
  /** Members that found the cluster: the length of the list, or `--bootstrap-expect`. */
  readonly expected: number;
  readonly signal?: AbortSignal;
  readonly probeMs?: number;
  readonly retryMs?: number;
  readonly reportMs?: number;
  /** Draws ids; tests give their own. */
  readonly newId?: () => number;
}

export type BootstrapResult =
  /** Start Raft with these members, under this id. */
  | {
      readonly kind: "founded";
      readonly clusterId: number;
      readonly memberId: number;
      readonly members: readonly MemberRecord[];
    }
  /** There is a cluster already: join it through one of these addresses. */
  | { readonly kind: "existing"; readonly clusterId: number; readonly addresses: readonly string[] };

interface Answer {
  readonly target: BootstrapTarget;
  readonly probe: ProbeResponse;
}

/** Who answered last at each address, and when. */
type Seen = Map<string, { readonly name: string; readonly atMs: number }>;

/** A target that answered so recently counts in the view although its last answer was lost. */
const seenMs = 10_000;

/** What is remembered from round to round. */
interface Progress {
  readonly seen: Seen;
  /** By name: the cluster whose plan that member has on disk. */
  readonly accepted: Map<string, number>;
}

/** What one round found: an end, or the reason to go on. */
type Round = BootstrapResult | string;

/**
 * Runs until this member knows which cluster it belongs to.
 *
 * @throws CoracleError `config_invalid` when the targets contradict each other (retrying cannot
 *   help), or `shutting_down` when `signal` aborts.
 */
export async function bootstrap(options: BootstrapOptions): Promise<BootstrapResult> {
  const { clock, signal } = options;
  const progress: Progress = { seen: new Map(), accepted: new Map() };
  let reportedMs = Number.NEGATIVE_INFINITY;
  while (signal?.aborted !== true) {
    const round = await runRound(options, progress);
    if (typeof round !== "string") return round;
    if (clock.nowMs() - reportedMs >= (options.reportMs ?? 5_000)) {
      reportedMs = clock.nowMs();
      log.info("Waiting to begin a cluster: {reason}.", { reason: round });
    }
    await pause(clock, options.retryMs ?? 200, signal);
  }
  throw new CoracleError("shutting_down", "The member stopped before its cluster began.");
}

async function runRound(options: BootstrapOptions, progress: Progress): Promise<Round> {
  const { desk, expected, clock } = options;
  if (desk.committed) return founded(desk);
  const targets = await findTargets(options);
  if (typeof targets === "string") return targets;
  const { answers, silent } = await probeAll(options, targets);
  for (const { target, probe } of answers) {
    progress.seen.set(target.address, { name: probe.name, atMs: clock.nowMs() });
    if (probe.state === "planned") progress.accepted.set(probe.name, probe.clusterId);
    // It lost its disk and must accept again.
    if (probe.state === "empty") progress.accepted.delete(probe.name);
  }
  desk.setView(viewOf(options, targets, progress.seen));
  const existing = existingCluster(desk, answers);
  if (existing !== undefined) return existing;
  // The commit may have come while the others were asked.
  if (desk.committed) return founded(desk);
  const missing = expected - targets.length;
  if (missing > 0) silent.push(`${missing} of ${expected} members have no record yet`);
  const { plan } = desk;
  // Once there is a plan, its maker needs no round in which all answer at the same time.
  if (plan !== undefined && smallestName(plan) === desk.self.name) {
    return carryOut(options, progress, { plan, answers, silent });
  }
  if (silent.length > 0) return silent.join("; ");
  checkAnswers(options, answers);
  const names = answers.map(({ probe }) => probe.name).sort();
  return agree(options, progress, { answers, names });
}

function smallestName(plan: BootstrapPlan): string | undefined {
  return plan.members.map(({ name }) => name).sort()[0];
}

/** The names of all expected members, if each has answered lately; else nothing. */
function viewOf(
  options: BootstrapOptions,
  targets: readonly BootstrapTarget[],
  seen: Seen,
): readonly string[] {
  if (targets.length !== options.expected) return [];
  const names: string[] = [];
  for (const { address } of targets) {
    const last = seen.get(address);
    if (last === undefined || options.clock.nowMs() - last.atMs > seenMs) return [];
    names.push(last.name);
  }
  return names.sort();
}

async function findTargets(options: BootstrapOptions): Promise<readonly BootstrapTarget[] | string> {
  try {
    return await options.targets();
  } catch (error) {
    return messageOf(error).replace(/\.$/, "");
  }
}

async function probeAll(options: BootstrapOptions, targets: readonly BootstrapTarget[]) {
  const answers: Answer[] = [];
  const silent: string[] = [];
  await Promise.all(
    targets.map(async (target) => {
      try {
        const body = await options.ask(target.address, "probe", null, {
          timeoutMs: options.probeMs ?? 1_000,
        });
        answers.push({ target, probe: parseBody(probeResponseSchema, body, "answer to a probe") });
      } catch (error) {
        const problem = messageOf(error).replace(/\.$/, "");
        silent.push(target.name === undefined ? problem : `${target.name}: ${problem}`);
      }
    }),
  );
  return { answers, silent: silent.sort() };
}

/** A cluster that a target is in already: the one whose plan was accepted here, or one to join. */
function existingCluster(desk: BootstrapDesk, answers: readonly Answer[]): Round | undefined {
  const members = answers.filter(({ probe }) => probe.state === "initialised");
  const [first] = members;
  if (first === undefined) return undefined;
  const { clusterId } = first.probe;
  const other = members.find(({ probe }) => probe.clusterId !== clusterId);
  if (other !== undefined) {
    throw new CoracleError(
      "config_invalid",
      `${first.target.address} and ${other.target.address} belong to different clusters (${clusterId} and ${other.probe.clusterId}); list members of one cluster only.`,
    );
  }
  if (desk.plan?.clusterId === clusterId) {
    desk.commit(clusterId);
    return founded(desk);
  }
  if (desk.plan !== undefined) {
    const { plan } = desk;
    // A member of the plan that is in another cluster never accepted it, so nobody can commit it
    // any more. Without such a proof the promise stands.
    const dead = members.some(({ probe }) => plan.members.some(({ name }) => name === probe.name));
    if (!dead) return `${first.target.address} is in another cluster; ${heldPlan(plan)}`;
    desk.forgetPlan();
  }
  desk.joining();
  return { kind: "existing", clusterId, addresses: members.map(({ target }) => target.address) };
}

/** Contradictions that no waiting ends. */
function checkAnswers({ desk, expected }: BootstrapOptions, answers: readonly Answer[]): void {
  if (answers.length > expected) {
    const found = answers.map(({ target }) => target.address).join(", ");
    throw invalid(
      `${answers.length} members answer (${found}), but ${expected} are expected; remove the records that are too many or raise --bootstrap-expect on every member`,
    );
  }
  const byName = new Map<string, Answer>();
  for (const answer of answers) {
    const { target, probe } = answer;
    if (target.name !== undefined && target.name !== probe.name) {
      throw invalid(`${target.address} is listed as ${target.name}, but its name is ${probe.name}`);
    }
    const former = byName.get(probe.name);
    if (former !== undefined) {
      const same = former.probe.instance === probe.instance;
      const problem = same ? "lead to the same member" : "are two members of the same name";
      throw invalid(`${former.target.address} and ${target.address} ${problem}, ${probe.name}`);
    }
    byName.set(probe.name, answer);
  }
  if (byName.get(desk.self.name)?.probe.instance !== desk.instance) {
    const found = [...byName.keys()].join(", ");
    throw invalid(`this member, ${desk.self.name}, is not among those that begin the cluster (${found})`);
  }
}

/** All have answered and none is in a cluster. The one with the smallest name brings it to an end. */
async function agree(
  options: BootstrapOptions,
  progress: Progress,
  found: { readonly answers: readonly Answer[]; readonly names: readonly string[] },
): Promise<Round> {
  const { answers, names } = found;
  const { desk } = options;
  const planner = present(names[0], "the smallest name");
  const joining = answers.find(({ probe }) => probe.state === "joining");
  if (joining !== undefined) {
    return `${joining.probe.name} was started to join a cluster, not to begin one`;
  }
  if (planner !== desk.self.name) return `${planner} is to make the plan of the cluster`;
  const others = answers.filter(({ probe }) => probe.instance !== desk.instance);
  const different = others.find(({ probe }) => probe.view.join() !== names.join());
  if (different !== undefined) {
    const { name, view } = different.probe;
    if (view.length === 0) return `${name} has not reached all members yet`;
    return `${name} expects ${view.join(", ")}, this member ${names.join(", ")}`;
  }
  const plan = choosePlan(options, answers);
  if (typeof plan === "string") return plan;
  return carryOut(options, progress, { plan, answers, silent: [] });
}

/** The plan that some member has accepted already, or a new one. */
function choosePlan(options: BootstrapOptions, answers: readonly Answer[]): BootstrapPlan | string {
  const plans = new Map<number, BootstrapPlan>();
  for (const { probe } of answers) if (probe.plan !== undefined) plans.set(probe.plan.clusterId, probe.plan);
  if (options.desk.plan !== undefined) plans.set(options.desk.plan.clusterId, options.desk.plan);
  const [first] = plans.values();
  if (plans.size > 1) {
    const holders = answers.filter(({ probe }) => probe.plan !== undefined).map(({ probe }) => probe.name);
    return `${holders.join(", ")} have accepted different plans of a cluster that never began; stop them and delete bootstrap.json in their data folders`;
  }
  if (first !== undefined) return first;
  const newId = options.newId ?? randomId;
  const members = answers.map(({ probe }) => ({
    id: newId(),
    name: probe.name,
    peerAddress: probe.peerAddress,
    clientUrls: probe.clientUrls,
    grpcUrls: probe.grpcUrls,
    learner: false,
  }));
  members.sort((a, b) => (a.name < b.name ? -1 : 1));
  return { clusterId: newId(), members };
}

function heldPlan(plan: BootstrapPlan): string {
  const names = plan.members.map(({ name }) => name).join(", ");
  return `a cluster of ${names} was agreed on before; start all of them with the flags of then, or, if it never began, delete bootstrap.json in their data folders`;
}

/** Collects the acceptances that are still missing; with the last one the cluster exists. */
async function carryOut(
  options: BootstrapOptions,
  progress: Progress,
  found: { readonly plan: BootstrapPlan; readonly answers: readonly Answer[]; readonly silent: string[] },
): Promise<Round> {
  const { desk } = options;
  const { plan, answers, silent } = found;
  const planned = plan.members.map(({ name }) => name).sort();
  if (desk.view.length === 0) return silent.join("; ");
  if (desk.view.join() !== planned.join()) return heldPlan(plan);
  const own = desk.accept(plan);
  if (!own.accepted) return own.reason;
  progress.accepted.set(desk.self.name, plan.clusterId);
  const problems = await Promise.all(
    answers.map(async (answer) => {
      const { name } = answer.probe;
      if (progress.accepted.get(name) === plan.clusterId) return [];
      const problem = await askToAccept(options, answer, plan);
      if (problem !== undefined) return [problem];
      progress.accepted.set(name, plan.clusterId);
      return [];
    }),
  );
  // Whoever commits must have the word of every member of the plan.
  const all = planned.every((name) => progress.accepted.get(name) === plan.clusterId);
  if (!all) return [...problems.flat(), ...silent].join("; ");
  desk.commit(plan.clusterId);
  tellCommit(options, answers, plan.clusterId);
  return founded(desk);
}

async function askToAccept(
  options: BootstrapOptions,
  { target, probe }: Answer,
  plan: BootstrapPlan,
): Promise<string | undefined> {
  try {
    const timeoutMs = options.probeMs ?? 1_000;
    const body = await options.ask(target.address, "plan", { plan }, { timeoutMs });
    const { accepted, reason } = parseBody(planResponseSchema, body, "answer to the plan");
    return accepted ? undefined : `${probe.name} does not accept the plan: ${reason}`;
  } catch (error) {
    return `${probe.name} did not answer the plan: ${messageOf(error)}`;
  }
}

/** Only to save the others a round: who does not hear it finds this member initialised when it probes. */
function tellCommit(options: BootstrapOptions, answers: readonly Answer[], clusterId: number): void {
  for (const { target, probe } of answers) {
    if (probe.instance === options.desk.instance) continue;
    const timeoutMs = options.probeMs ?? 1_000;
    options.ask(target.address, "commit", { clusterId }, { timeoutMs }).catch((error: unknown) => {
      log.debug("{name} did not hear of the commit: {reason}", {
        name: probe.name,
        reason: messageOf(error),
      });
    });
  }
}

/**
 * Begins a cluster of this member alone.
 *
 * @throws CoracleError `config_invalid` when it has promised to be part of another.
 */
export function foundAlone(desk: BootstrapDesk, newId: () => number = randomId): BootstrapResult {
  if (desk.plan !== undefined) {
    throw new CoracleError(
      "config_invalid",
      `This member cannot begin a cluster alone: ${heldPlan(desk.plan)}.`,
    );
  }
  // No promise to others is made or accepted from here on.
  desk.joining();
  const { self } = desk;
  const member = { id: newId(), ...self, learner: false };
  return { kind: "founded", clusterId: newId(), memberId: member.id, members: [member] };
}

function founded(desk: BootstrapDesk): BootstrapResult {
  const { clusterId, members } = present(desk.plan, "the committed plan");
  const own = present(
    members.find(({ name }) => name === desk.self.name),
    "this member in the plan",
  );
  log.info("The cluster {clusterId} begins with {names}.", {
    clusterId,
    names: members.map(({ name }) => name).join(", "),
  });
  return { kind: "founded", clusterId, memberId: own.id, members };
}

function invalid(problem: string): CoracleError {
  return new CoracleError(
    "config_invalid",
    `The members that should begin a cluster contradict each other: ${problem}.`,
  );
}
