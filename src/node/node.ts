import { getLogger } from "@logtape/logtape";
import type { Timer } from "../base/clock.ts";
import { CoracleError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { ApplyOutcome, StateMachine } from "../kv/state-machine.ts";
import type { Command, CommandResult, RangeOperation, RangeResult } from "../kv/types.ts";
import { type CommandLimits, validateCommand, validateRangeOperation } from "../kv/validate.ts";
import type { PeerMessage, Transport, TransportEvents } from "../peer/types.ts";
import { Raft } from "../raft/raft.ts";
import {
  type Entry,
  entryKind,
  type MemberId,
  nobody,
  type RaftStatus,
  type SnapshotMeta,
} from "../raft/types.ts";
import { Applier } from "./applier.ts";
import { Cluster } from "./cluster.ts";
import type { Consistency, NodeDependencies } from "./dependencies.ts";
import { RaftDriver } from "./driver.ts";
import { Farewell } from "./farewell.ts";
import { figuresOf } from "./figures.ts";
import { ForwardReplies } from "./forward-replies.ts";
import { LogKeeper } from "./log-keeper.ts";
import { MembershipChanges } from "./membership.ts";
import { type NodeFigures, type NodeMetrics, noMetrics } from "./metrics.ts";
import { type NodeAccess, Parts } from "./part.ts";
import { PeerSet } from "./peer-set.ts";
import { Proposals } from "./proposals.ts";
import { Reads } from "./reads.ts";
import { isCredible } from "./sender-check.ts";
import { SnapshotTransfers } from "./snapshots.ts";
import type { StateStore } from "./state-store.ts";
import { resultOf } from "./waiter.ts";

const log = getLogger(["coracle", "node"]);

/** How often waiting requests are looked through for late ones. */
const sweepMs = 50;
/** How often the slow duties run: autopilot, log cut. */
const dutyMs = 1000;

/**
 * One member: drives Raft with its storage and its peers, and answers its clients.
 *
 * Everything that arrives (requests, messages, stored writes, ticks) is noted at once, and worked
 * off at the end of the event-loop turn in `#turn`, so that whatever came together is handled
 * together: one log entry, one message a peer, one ReadIndex round, one transaction.
 */
export class Node implements TransportEvents {
  readonly #deps: NodeDependencies;
  readonly #commandLimits: CommandLimits;
  readonly #metrics: NodeMetrics;
  readonly #driver: RaftDriver;
  readonly #applier: Applier;
  readonly #proposals: Proposals;
  readonly #reads: Reads;
  readonly #replies: ForwardReplies;
  readonly #snapshots: SnapshotTransfers;
  readonly #logKeeper: LogKeeper;
  readonly #peers: PeerSet;
  readonly membership: MembershipChanges;
  readonly cluster: Cluster;
  #state: StateMachine;
  /** Set while a snapshot takes its place: the state is closed then. */
  #installing: Promise<void> | undefined;
  #turnScheduled = false;
  #timers: Timer[] = [];
  #stopping: Promise<void> | undefined;
  #stopped = false;
  #lastLeader: MemberId = nobody;
  readonly #farewell: Farewell;
  readonly #parts = new Parts();

  constructor(deps: NodeDependencies) {
    this.#deps = deps;
    this.#state = deps.state;
    this.#metrics = deps.metrics ?? noMetrics;
    this.#commandLimits = { ...limits, valueBytesMax: deps.options.valueBytesMax };
    const { clock, options, transport } = deps;
    const store = this.#settled(deps.store);
    const self = deps.identity.memberId;
    this.#driver = new RaftDriver(this.#createRaft(), deps.log, {
      send: (message) => this.#sendRaft(message),
      apply: (entries) => this.#applier.push(entries),
      readsReady: (reads) => this.#reads.confirmed(reads),
      readsRefused: (contexts) => this.#reads.refused(contexts),
      snapshotsWanted: (members) => this.#snapshots.wanted(members),
      install: (snapshot) => this.#install(snapshot),
      after: (delayMs, action) => clock.after(delayMs, () => this.#guard(action)),
      wake: () => this.#wake(),
      fatal: (error) => this.#fatal(error),
    });
    this.#applier = new Applier(deps.state, clock, {
      proposedBatch: (index, term) => this.#proposals.proposedBatch(index, term),
      applied: (entries, outcomes) => this.#applied(entries, outcomes),
      undone: () => this.#reads.forgetFreshness(),
      observeApplyMs: this.#metrics.applyMs,
      fatal: (error) => this.#fatal(error),
    });
    const common = this.#common();
    this.#proposals = new Proposals({ ...common, observeBatch: this.#metrics.batchCommands });
    this.#reads = new Reads({
      ...common,
      applied: () => this.#state.appliedIndex,
      stateHeld: () => this.#installing,
      readTogether: (reads) => this.#state.readTogether(reads),
      retryAfterMs: Math.max(2 * options.heartbeatMs, 100),
    });
    this.#peers = new PeerSet({ self, clock, transport });
    this.#farewell = new Farewell({
      clock,
      electionMs: options.electionMs,
      others: () => this.#peers.others.map(({ id }) => id),
      end: deps.onRemoved,
    });
    this.#replies = new ForwardReplies(common.send, common.wake);
    this.#snapshots = new SnapshotTransfers({
      self,
      store,
      carrier: transport,
      leadingTerm: () => (this.#driver.raft.isLeader ? this.#driver.raft.term : undefined),
      step: common.step,
      observe: this.#metrics.snapshotMs,
      nowMs: () => clock.nowMs(),
    });
    this.#logKeeper = new LogKeeper({
      log: deps.log,
      store,
      options,
      keepAfter: () => this.#snapshots.oldestIndex(),
    });
    this.membership = new MembershipChanges({
      ...common,
      membership: () => this.#state.membership(),
      newId: deps.newId,
      removeDeadAfterMs: options.removeDeadAfterMs,
    });
    this.cluster = new Cluster({
      ...common,
      membership: this.membership,
      view: () => this.#state.membership(),
      figures: () => this.figures(),
      build: deps.build,
      stopping: () => this.#stopping !== undefined,
      introduce: (member) => this.#peers.introduce(member),
      trouble: (member) => transport.trouble(member),
      peerAddress: deps.peerAddress,
      handler: (name) => this.#parts.handler(name),
    });
    for (const create of deps.parts ?? []) this.#parts.add(create(this.#access()));
  }

  #access(): NodeAccess {
    const { clock, identity, options, random } = this.#deps;
    return {
      self: identity.memberId,
      clock,
      random,
      options,
      state: () => this.#state,
      raft: () => this.#driver.raft.status(),
      stateTrouble: () => this.#applier.trouble,
      maintain: (work) => this.#applier.maintain(work),
      propose: (command) => this.propose(command),
      proposeHere: (command) => this.#propose(command, true),
      current: () => this.#reads.current(),
      askLeader: (name, body) => this.cluster.askLeader(name, body),
      ask: (member, name, body, timeoutMs) => this.cluster.ask(member, name, body, timeoutMs),
    };
  }

  /** What most parts need to know of the node around them. */
  #common() {
    const { clock, options, random, transport } = this.#deps;
    return {
      self: this.#deps.identity.memberId,
      clock,
      random,
      leader: () => this.#driver.raft.leader,
      raft: () => this.#driver.raft.status(),
      step: this.#driver.step.bind(this.#driver),
      send: (to: MemberId, message: PeerMessage): boolean => transport.send(to, message),
      connected: (member: MemberId) => transport.connected(member),
      wake: (): void => this.#wake(),
      committing: () => this.#driver.raft.commit < this.#driver.raft.lastIndex,
      blocked: () => this.#parts.blocked(this.#applier.trouble),
      requestTimeoutMs: options.requestTimeoutMs,
      leaderWaitMs: options.leaderWaitMs,
    };
  }

  /** Copies and checkpoints see what is committed: everything applied shall be. */
  #settled(store: StateStore): Pick<StateStore, "createSnapshot" | "checkpoint"> {
    return {
      createSnapshot: () => {
        this.settle();
        return store.createSnapshot();
      },
      checkpoint: () => {
        this.settle();
        return store.checkpoint();
      },
    };
  }

  #createRaft(): Raft {
    const { identity, options, log: logStore, random } = this.#deps;
    return new Raft({
      id: identity.memberId,
      hardState: logStore.hardState,
      applied: this.#state.appliedIndex,
      conf: this.#state.confState(),
      log: logStore,
      random,
      holdNews: true,
      electionTicks: Math.max(2, Math.round(options.electionMs / options.heartbeatMs)),
    });
  }

  /** Begins to take part. The transport must be ready to be used. */
  start(): void {
    const { clock, options } = this.#deps;
    this.#membershipChanged();
    this.#every(options.heartbeatMs, () => this.#driver.step({ type: "tick" }));
    this.#every(sweepMs, () => {
      this.#proposals.sweep();
      this.#reads.sweep();
    });
    this.#every(dutyMs, () => {
      this.membership.autopilot();
      this.#logKeeper.check();
      this.#parts.duty();
    });
    // Nobody else can answer: a lone voter need not wait for its election timer.
    const { voters } = this.#state.confState();
    if (voters.length === 1 && voters[0] === this.#deps.identity.memberId)
      this.#driver.step({ type: "campaign" });
    log.info(
      "Member {name} ({id}) of cluster {cluster} is running at index {applied}, revision {revision}.",
      {
        name: this.#deps.identity.name,
        id: this.#deps.identity.memberId,
        cluster: this.#deps.identity.clusterId,
        applied: this.#state.appliedIndex,
        revision: this.#state.revision,
        atMs: clock.wallMs(),
      },
    );
  }

  #every(periodMs: number, action: () => void): void {
    const slot = this.#timers.length;
    const again = (): void => {
      this.#timers[slot] = this.#deps.clock.after(periodMs, () => {
        if (this.#stopped) return;
        this.#guard(action);
        again();
      });
    };
    again();
  }

  /** Proposes a command and resolves with its result when it is applied. */
  propose(command: Command): Promise<Exclude<CommandResult, { type: "refused" }>> {
    return this.#propose(command, false);
  }

  /** `onlyHere`: ends as not proposed when another member leads, as what was forwarded does. */
  #propose(command: Command, onlyHere: boolean): Promise<Exclude<CommandResult, { type: "refused" }>> {
    return new Promise((resolve, reject) => {
      validateCommand(command, this.#commandLimits);
      const startMs = this.#deps.clock.nowMs();
      this.#proposals.submit(command, onlyHere, (outcome) => {
        this.#metrics.proposalMs(this.#deps.clock.nowMs() - startMs);
        const result = resultOf(outcome);
        if (result instanceof CoracleError) reject(result);
        else resolve(result);
      });
    });
  }

  async range(request: RangeOperation, consistency: Consistency, admit?: () => void): Promise<RangeResult> {
    validateRangeOperation(request, this.#commandLimits);
    return this.#reads.run(consistency, () => {
      admit?.();
      return this.#state.range(request);
    });
  }

  get revision(): number {
    return this.#state.revision;
  }

  get state(): StateMachine {
    return this.#state;
  }

  raftStatus(): RaftStatus {
    return this.#driver.raft.status();
  }

  /** Holds back applying while `work` runs; reads go on. */
  async whilePaused<T>(work: () => Promise<T>): Promise<T> {
    this.#applier.commit();
    this.#applier.pause();
    try {
      return await work();
    } finally {
      this.#guard(() => this.#applier.resume());
    }
  }

  /** Another member proved itself, and refuses this one as removed. */
  refusedAsRemoved(by: MemberId): void {
    this.#farewell.refusedBy(by);
  }

  /** Commits what is applied, for whoever looks at the state's files from outside. */
  settle(): void {
    this.#guard(() => this.#applier.commit());
  }

  /** A snapshot arrived completely and was verified. Returns whether Raft wants it installed. */
  snapshotReceived(from: MemberId, term: number, snapshot: SnapshotMeta): boolean {
    const to = this.#deps.identity.memberId;
    const message = { type: "snapshot", from, to, term, snapshot } as const;
    this.#guard(() => this.#driver.step({ type: "message", message }));
    return !this.#stopped && this.#driver.raft.snapshotToInstall?.index === snapshot.index;
  }

  onMessage(from: MemberId, message: PeerMessage): void {
    if (!this.#stopped) this.#guard(() => this.#receive(from, message));
  }

  onConnected(member: MemberId): void {
    if (this.#stopped) return;
    log.info("Connected to {member}.", { member: this.#peers.nameOf(member) });
    this.cluster.introduceTo(member);
    this.#guard(() => this.#driver.step({ type: "connected", member }));
  }

  onDisconnected(member: MemberId): void {
    if (this.#stopped) return;
    log.info("The connection with {member} closed.", { member: this.#peers.nameOf(member) });
    this.#guard(() => {
      this.#proposals.disconnected(member);
      this.cluster.disconnected(member);
      this.#driver.step({ type: "disconnected", member });
    });
  }

  figures(): NodeFigures {
    return figuresOf(this.#deps, this.#state, this.#driver.raft.status(), this.#proposals, this.#peers);
  }

  /**
   * Hands leadership over, answers what is in flight, and lets go. The transport and the files are
   * closed by their owner afterwards. Whoever stops it again waits for the same end, with the first grace.
   */
  stop(graceMs: number): Promise<void> {
    this.#stopping ??= this.#stop(graceMs);
    return this.#stopping;
  }

  async #stop(graceMs: number): Promise<void> {
    await this.cluster.handOver();
    await this.#proposals.drain(graceMs);
    this.#reads.close();
    this.#end();
  }

  #wake(): void {
    if (this.#turnScheduled || this.#stopped) return;
    this.#turnScheduled = true;
    this.#deps.clock.endOfTurn(() => {
      this.#turnScheduled = false;
      if (!this.#stopped) this.#guard(() => this.#turn());
    });
  }

  #turn(): void {
    this.#driver.pump();
    this.#noticeLeader();
    const { isLeader, term } = this.#driver.raft;
    this.#parts.leading(isLeader && this.#state.appliedTerm === term ? term : undefined);
    this.#proposals.flush();
    this.#reads.flush();
    // Who is answered shall find at its own member what it wrote.
    if (this.#replies.waiting) this.#driver.step({ type: "announce" });
    this.#driver.pump();
    this.#driver.announceSoon();
    this.#replies.flush();
  }

  #sendRaft(message: Parameters<Transport["send"]>[1] & { readonly to: MemberId }): void {
    if (this.#deps.transport.send(message.to, message)) return;
    if (message.type === "append" && message.entries.length > 0) {
      this.#driver.step({ type: "unreachable", member: message.to });
    }
  }

  #receive(from: MemberId, message: PeerMessage): void {
    switch (message.type) {
      case "forward":
        this.#replies.serve(from, message, this.#commandLimits, (command, end) => {
          this.#proposals.submit(command, true, end);
        });
        return;
      case "forward-result":
        this.#proposals.answered(message.outcomes);
        this.#wake();
        return;
      case "request":
      case "response":
      case "request-failed":
        this.cluster.onMessage(from, message);
        return;
      default:
        if (!isCredible(message, from, this.#deps.identity.memberId)) return;
        this.#driver.step({ type: "message", message });
    }
  }

  #applied(entries: readonly Entry[], outcomes: readonly ApplyOutcome[]): void {
    this.#parts.applied();
    entries.forEach((entry, at) => {
      const outcome = outcomes[at];
      if (outcome === undefined) return;
      this.#proposals.applied(entry.index, entry.term, outcome);
      if (entry.kind !== entryKind.confChange) return;
      this.membership.applied(entry.index, entry.term, outcome);
      this.#driver.step({ type: "conf-applied", index: entry.index, conf: this.#state.confState() });
      this.#membershipChanged();
    });
    const last = entries[entries.length - 1];
    if (last !== undefined) this.#driver.step({ type: "applied", index: last.index });
    this.#reads.applied();
  }

  #membershipChanged(): void {
    const membership = this.#state.membership();
    this.#peers.update(membership);
    log.debug("Members now: {members}.", { members: membership.members.map((member) => member.name) });
    if (membership.removed.includes(this.#deps.identity.memberId)) this.#farewell.removed();
  }

  #install(snapshot: SnapshotMeta): Promise<void> {
    this.#installing = this.#takeOver(snapshot).finally(() => {
      this.#installing = undefined;
    });
    return this.#installing;
  }

  async #takeOver(snapshot: SnapshotMeta): Promise<void> {
    this.#applier.commit();
    this.#applier.pause();
    this.#state = await this.#deps.store.install(snapshot, this.#state);
    this.#applier.replace(this.#state);
    this.#parts.installed();
    this.#proposals.skipped(snapshot.index);
    this.#driver.step({ type: "conf-applied", index: snapshot.index, conf: this.#state.confState() });
    this.#driver.step({ type: "applied", index: this.#state.appliedIndex });
    this.#membershipChanged();
    this.#applier.resume();
    this.#reads.applied();
  }

  #noticeLeader(): void {
    const { leader, term } = this.#driver.raft;
    if (leader === this.#lastLeader) return;
    this.#lastLeader = leader;
    this.#metrics.leaderChanged();
    if (leader === nobody) log.info("No leader is known in term {term}.", { term });
    else log.info("{leader} leads in term {term}.", { leader: this.#peers.nameOf(leader), term });
  }

  /** A broken invariant anywhere below stops the member, with the reason. */
  #guard(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#fatal(error);
    }
  }

  #fatal(error: unknown): void {
    if (this.#stopped) return;
    this.#end();
    this.#deps.onFatal(error);
  }

  #end(): void {
    this.#stopped = true;
    this.#driver.stop();
    this.#parts.close();
    for (const timer of this.#timers) timer.cancel();
  }
}
