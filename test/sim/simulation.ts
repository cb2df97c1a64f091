import type { MemberRecord } from "../../src/base/members.ts";
import type { Membership } from "../../src/kv/types.ts";
import type { MemberId } from "../../src/raft/types.ts";
import { Checks } from "./checkers/checks.ts";
import { votersOf } from "./checkers/committed-log.ts";
import { checkHistory } from "./checkers/history-checks.ts";
import { LocalReads } from "./checkers/local-reads.ts";
import { checkStores } from "./checkers/stores.ts";
import { Disk } from "./disk/disk.ts";
import { Coverage } from "./engine/coverage.ts";
import { Scheduler } from "./engine/scheduler.ts";
import { MachineClock } from "./engine/sim-clock.ts";
import { between, chance, stream } from "./engine/streams.ts";
import { Trace } from "./engine/trace.ts";
import { takeViolation, Violation } from "./engine/violation.ts";
import { FaultRunner, planFaults } from "./faults/schedule.ts";
import type { Fault } from "./faults/types.ts";
import { describeHost } from "./members/describe-host.ts";
import { FirstImages } from "./members/first-image.ts";
import { Host } from "./members/host.ts";
import type { World } from "./members/world.ts";
import { Conditions } from "./network/conditions.ts";
import { Network } from "./network/network.ts";
import { type Profile, profileOf, withRaftLimits } from "./profile.ts";
import { Client } from "./workload/client.ts";
import { marksOf } from "./workload/commands.ts";
import { History } from "./workload/history.ts";
import { LeaseHolder } from "./workload/lease-holder.ts";
import { LockUser } from "./workload/lock-user.ts";
import { MomentReads } from "./workload/moments.ts";
import { finalReads, probe, type Weights, weightsOf } from "./workload/plans.ts";
import { Subscriber } from "./workload/subscriber.ts";

/** Within this time after the faults stopped, every healthy member must have carried out a write. */
const progressMsMax = 20_000;
/** Within this time after the clients stopped, all healthy members must be alike. */
const convergeMsMax = 20_000;

export interface RunOptions {
  readonly seed: number;
  /** Instead of the seed's own schedule. */
  readonly faults?: readonly Fault[];
  readonly print?: (line: string) => void;
}

export interface RunResult {
  readonly seed: number;
  readonly traceHash: string;
  readonly events: number;
  readonly simulatedMs: number;
  readonly coverage: Coverage;
  readonly failure: { readonly checker: string; readonly message: string } | undefined;
}

export function faultsOf(seed: number): Fault[] {
  return planFaults(seed, profileOf(seed).faultsUntilMs);
}

/** Runs one seed from its first event to its verdict. */
export function runSeed(options: RunOptions): RunResult {
  const simulation = new Simulation(options);
  const failure = withRaftLimits(simulation.profile.raft, () => simulation.run());
  return {
    seed: options.seed,
    traceHash: simulation.trace.hash,
    events: simulation.scheduler.events,
    simulatedMs: simulation.scheduler.nowMs,
    coverage: simulation.coverage,
    failure,
  };
}

/** As `runSeed`, and a promise that was rejected with nobody to handle it is a failure, too. */
export async function runSeedFully(options: RunOptions): Promise<RunResult> {
  let rejected: unknown;
  const listen = (error: unknown): void => {
    rejected ??= error;
  };
  process.on("unhandledRejection", listen);
  try {
    const result = runSeed(options);
    // The runtime tells of them only when the event loop turns.
    await new Promise((resolve) => setImmediate(resolve));
    if (rejected === undefined || result.failure !== undefined) return result;
    return { ...result, failure: { checker: "unhandled rejection", message: textOf(rejected) } };
  } finally {
    process.off("unhandledRejection", listen);
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

class Simulation implements World {
  readonly profile: Profile;
  readonly scheduler = new Scheduler();
  readonly coverage = new Coverage();
  readonly trace: Trace;
  readonly conditions: Conditions;
  readonly network: Network;
  readonly checks: Checks;
  readonly hosts: Host[] = [];
  readonly joining = new Set<Host>();
  readonly #faults: readonly Fault[];
  readonly history = new History();
  readonly #clients: Client[] = [];
  readonly #moments = new MomentReads(this.scheduler, (plan, via) => {
    this.#oneMore("moment").perform(plan, via, () => {});
  });
  readonly #subscribers: Subscriber[] = [];
  /** Clients that hold something which ends by itself when they are gone. */
  readonly #holders: (LeaseHolder | LockUser)[] = [];
  readonly #localReads: LocalReads;
  readonly #ids;
  readonly #images = new FirstImages();
  readonly #weights: Weights;
  /** Machines of the minority that stays down to the end. */
  readonly #leftDown = new Set<Host>();
  readonly #removalsAsked = new Set<MemberId>();
  /** No more faults, and no more that they lead to. */
  #over = false;

  constructor({ seed, faults, print }: RunOptions) {
    this.profile = profileOf(seed);
    this.#faults = faults ?? faultsOf(seed);
    this.#ids = stream(seed, "ids");
    this.#weights = weightsOf(stream(seed, "weights"));
    const { scheduler, coverage, profile } = this;
    this.trace = new Trace(() => scheduler.nowMs, print);
    this.conditions = new Conditions(stream(seed, "network"), profile.networkMs, () => scheduler.nowUs);
    this.network = new Network({
      scheduler,
      conditions: this.conditions,
      coverage,
      random: stream(seed, "connections"),
      snapshotChunkBytes: profile.snapshotChunkBytes,
      silenceMs: profile.silenceMs,
    });
    const members = this.#createHosts();
    this.checks = new Checks({
      coverage,
      trace: this.trace,
      marksOf,
      members,
      nowUs: () => scheduler.nowUs,
      fastestRate: () => Math.max(...this.hosts.map(({ clock }) => clock.fastestRate)),
    });
    this.network.onSend = (from, message) => {
      this.trace.note(
        message.type,
        from.host,
        "term" in message ? message.term : 0,
        from.memberId | 0,
        () => {
          return `n${from.host} ${JSON.stringify(message, (name, value) => (name === "data" || name === "commands" ? "..." : value))}`;
        },
      );
      const process = this.hosts[from.host]?.process;
      if (process !== undefined) this.checks.sent(process, message);
    };
    this.network.onReceive = (by, message) => {
      const process = this.hosts[by.host]?.process;
      if (process !== undefined) this.checks.timers.heard(process, message);
    };
    this.#localReads = new LocalReads(this.checks.committed, this.history);
    this.#createClients();
    this.#createCompany();
  }

  get partOptions() {
    return this.profile.parts;
  }

  get nodeOptions() {
    return this.profile.node;
  }

  get releases() {
    return this.profile.releases;
  }

  firstImage(membership: Membership, index: number, term: number): Uint8Array {
    return this.#images.of(membership, index, term);
  }

  newId(): MemberId {
    return 1000 + this.#ids.below(1_000_000_000);
  }

  mayRemoveVoter(): boolean {
    return this.#lost() === 0;
  }

  mayLoseDisk(): boolean {
    const { members, membersBefore } = this.checks.committed;
    const leaving = [...this.#removalsAsked].filter((id) => members.has(id)).length;
    const enough = votersOf(members).length - leaving >= 3;
    // Who has not heard of the last change counts by the members before it, the lost ones among them.
    const spare = [members, membersBefore].every((each) => {
      const voters = votersOf(each);
      return voters.length === 0 || (this.#sound(voters).length - leaving - 1) * 2 > voters.length;
    });
    return this.#lost() === 0 && enough && spare;
  }

  burst(via: Host): void {
    this.#oneMore("burst").once(via);
  }

  #oneMore(name: string): Client {
    const client = this.#client(`${name} ${this.#clients.length}`, 100 + this.#clients.length, 0);
    this.#clients.push(client);
    return client;
  }

  renewLeases(via: Host, last: boolean): void {
    const { process } = via;
    if (process?.ready !== true) return;
    const replaced = via.isLeader && this.hosts.some((other) => other !== via && other.isLeader);
    for (const holder of this.#holders) {
      if (!(holder instanceof LeaseHolder) || !holder.renewThrough(process, last)) continue;
      if (replaced) this.coverage.add("lease: renewal asked of a leader that was replaced");
    }
  }

  freshened(host: Host): void {
    if (!this.#over) this.#moments.freshened(host);
  }

  stateUndone(host: Host): void {
    this.coverage.add("disk: applied entries undone");
    if (!this.#over) this.#moments.undone(host);
  }

  removalAsked(id: MemberId): void {
    this.#removalsAsked.add(id);
  }

  /** Members whose data no machine holds. */
  #lost(): number {
    const held = new Set(
      this.hosts.filter(({ damaged }) => !damaged).map(({ disk }) => disk.identity?.memberId),
    );
    return [...this.checks.committed.members.keys()].filter((id) => !held.has(id)).length;
  }

  run(): RunResult["failure"] {
    takeViolation();
    try {
      this.#safetyPhase();
      this.#livenessPhase();
      this.#convergencePhase();
      checkHistory(this.history, this.checks.committed, this.coverage);
      return undefined;
    } catch (error) {
      // What is thrown inside the product comes out as something else, so the first one counts.
      const violation = takeViolation() ?? (error instanceof Violation ? error : undefined);
      if (violation !== undefined) return { checker: violation.checker, message: violation.message };
      return {
        checker: "crash",
        message: error instanceof Error ? (error.stack ?? error.message) : String(error),
      };
    } finally {
      for (const { disk } of this.hosts) disk.state?.discard();
    }
  }

  #createHosts(): MemberRecord[] {
    const { seed, members: memberCount, spares, fsyncMs, releases, upgraded } = this.profile;
    for (let number = 0; number < memberCount + spares; number++) {
      const random = stream(seed, `host ${number}`);
      this.hosts.push(
        new Host({
          world: this,
          number,
          disk: new Disk(stream(seed, `disk ${number}`), fsyncMs),
          clock: new MachineClock(this.scheduler, {
            startMs: between(random, 0, 1e6),
            wallOffsetMs: between(random, -2000, 2000),
          }),
          random,
          versions: releases[chance(stream(seed, `release ${number}`), upgraded) ? 1 : 0],
        }),
      );
    }
    const founders = this.hosts.slice(0, memberCount);
    const members = founders
      .map((host): MemberRecord => {
        return {
          id: this.newId(),
          name: host.name,
          peerAddress: host.address,
          clientUrls: [],
          grpcUrls: [],
          learner: false,
        };
      })
      .sort((a, b) => a.id - b.id);
    const membership = { clusterId: 7, members, removed: [] };
    for (const host of founders) {
      const own = members.find(({ name }) => name === host.name);
      host.bootstrap(membership, own?.id ?? 0);
      host.startLater(between(host.random, 0, 300));
    }
    return members;
  }

  #createClients(): void {
    const { clients, thinkMs } = this.profile;
    for (let number = 0; number < clients; number++) {
      const client = this.#client(`client ${number}`, number, thinkMs);
      this.#clients.push(client);
      client.start();
    }
  }

  #createCompany(): void {
    const { seed, subscribers, leaseHolders, lockUsers } = this.profile;
    for (let number = 0; number < subscribers; number++) {
      this.#subscribers.push(new Subscriber(this, number, stream(seed, `subscriber ${number}`)));
    }
    for (let number = 0; number < leaseHolders; number++) {
      this.#holders.push(new LeaseHolder(this, number, stream(seed, `lease holder ${number}`)));
    }
    for (let number = 0; number < lockUsers; number++) {
      this.#holders.push(new LockUser(this, stream(seed, `lock user ${number}`)));
    }
  }

  #client(name: string, number: number, thinkMs: number): Client {
    const { seed, padding } = this.profile;
    const random = stream(seed, name);
    const history = this.history;
    return new Client({
      world: this,
      history,
      localReads: this.#localReads,
      number,
      random,
      thinkMs,
      padding,
      weights: this.#weights,
    });
  }

  #until(ms: number, done?: () => boolean): void {
    this.scheduler.run(ms * 1000, throwViolation, done);
  }

  #safetyPhase(): void {
    const faults = new FaultRunner(this);
    faults.plan(this.#faults);
    this.#until(this.profile.faultsUntilMs);
    this.trace.note("faults-stop");
    this.#over = true;
    faults.stop();
  }

  /** The machines of members that take part from now on: a majority of the voters at least. */
  #healthy(): Host[] {
    const { members } = this.checks.committed;
    return this.hosts
      .filter(({ disk, retired }) => {
        return !retired && disk.identity !== undefined && members.has(disk.identity.memberId);
      })
      .filter((host) => !this.#leftDown.has(host));
  }

  #leaveMinorityDown(): void {
    const { members, membersBefore } = this.checks.committed;
    // A removal that is still under way could turn the minority into a majority.
    const shrinking = [...this.#removalsAsked].some((id) => members.has(id));
    if (!this.profile.minorityStaysDown || shrinking) return;
    const voters = votersOf(members);
    for (const host of this.#healthy()) {
      const id = host.disk.identity?.memberId;
      if (id === undefined || !voters.includes(id)) continue;
      if (!this.#majorityWithout(host, voters) || !this.#majorityWithout(host, votersOf(membersBefore)))
        continue;
      this.coverage.add("liveness: minority stays down");
      host.holdDown();
      host.losePower();
      this.#leftDown.add(host);
    }
  }

  /** The machines of those voters that take part, with all that they wrote. */
  #sound(voters: readonly MemberId[]): Host[] {
    return this.#healthy().filter((host) => {
      return !host.damaged && voters.includes(host.disk.identity?.memberId ?? 0);
    });
  }

  /** Whether a majority of these voters is healthy when this machine is down. */
  #majorityWithout(down: Host, voters: readonly MemberId[]): boolean {
    const healthy = this.#sound(voters).filter((host) => host !== down);
    return healthy.length * 2 > voters.length || voters.length === 0;
  }

  #livenessPhase(): void {
    this.#leaveMinorityDown();
    const startMs = this.scheduler.nowMs;
    const prober = this.#client("prober", 90, 0);
    const proven = new Set<Host>();
    const missing = (): Host[] => this.#healthy().filter((host) => !proven.has(host));
    let round = 0;
    const next = (): void => {
      const waiting = missing();
      const host = waiting[round++ % Math.max(1, waiting.length)];
      if (host === undefined) return;
      prober.perform(probe(prober.mark(), "a"), host, (ending) => {
        if (ending.type === "done") proven.add(host);
        this.scheduler.afterMs(20, next);
      });
    };
    next();
    this.#until(startMs + progressMsMax, () => missing().length === 0);
    const stuck = missing();
    const tookMs = this.scheduler.nowMs - startMs;
    this.coverage.add(tookMs < 5000 ? "liveness: within 5 s" : "liveness: later than 5 s");
    if (stuck.length === 0) return;
    throw new Violation(
      "liveness",
      `no write through ${stuck.map(describeHost).join("; ")} in ${progressMsMax} ms`,
    );
  }

  #convergencePhase(): void {
    for (const client of [...this.#clients, ...this.#holders]) client.stop();
    for (const subscriber of this.#subscribers) subscriber.settle();
    this.#settle();
    this.#readEverything();
    // Autopilot and snapshots may have gone on meanwhile.
    this.#settle();
    checkStores(this.#healthy(), this.checks.committed);
  }

  /** Runs until nothing is under way and all healthy members are alike for a while. */
  #settle(): void {
    const startMs = this.scheduler.nowMs;
    const alike = (): boolean => {
      if (!this.#clients.every((client) => client.idle) || this.joining.size > 0) return false;
      const { lastIndex, model } = this.checks.committed;
      if (!this.#holders.every(({ idle }) => idle) || model.leases.count > 0) return false;
      if (!this.#healthy().every((host) => host.active && host.process?.appliedIndex === lastIndex))
        return false;
      return this.#subscribers.every(({ upToDate }) => upToDate);
    };
    let quietSinceMs = Number.POSITIVE_INFINITY;
    this.#until(startMs + convergeMsMax, () => {
      if (!alike()) quietSinceMs = Number.POSITIVE_INFINITY;
      else quietSinceMs = Math.min(quietSinceMs, this.scheduler.nowMs);
      return this.scheduler.nowMs - quietSinceMs > 300;
    });
    if (alike()) return;
    const { lastIndex, model } = this.checks.committed;
    const busy = [...this.#clients, ...this.#holders].filter(({ idle }) => !idle).length;
    const behind = this.#subscribers.filter(({ upToDate }) => !upToDate).length;
    throw new Violation(
      "convergence",
      `${busy} clients wait, ${behind} subscribers lag, ${this.joining.size} machines join, leases ${model.leases.text() || "none"}, index ${lastIndex}: ${this.#healthy().map(describeHost).join("; ")}`,
    );
  }

  #readEverything(): void {
    const reader = this.#client("reader", 91, 0);
    const reads = this.#healthy()
      .filter((host) => host.active)
      .flatMap((host) => finalReads().map((plan) => ({ host, plan })));
    let done = 0;
    const next = (): void => {
      const read = reads[done];
      if (read === undefined) return;
      reader.perform(read.plan, read.host, (ending) => {
        if (ending.type === "done") done++;
        next();
      });
    };
    next();
    this.#until(this.scheduler.nowMs + convergeMsMax, () => done === reads.length);
    if (done < reads.length) {
      throw new Violation(
        "liveness",
        `a read through ${reads[done]?.host.name} found no answer when all was well`,
      );
    }
  }
}

function throwViolation(): void {
  const violation = takeViolation();
  if (violation !== undefined) throw violation;
}
