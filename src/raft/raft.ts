import { assert, unreachable } from "../base/assert.ts";
import { applyConf, confChangeRefusal } from "./conf.ts";
import { Core } from "./core.ts";
import { handleMessage } from "./dispatch.ts";
import {
  campaign,
  campaignRefusal,
  countOwnVote,
  leaderDisconnected,
  tickElection,
  voterConnected,
} from "./election.ts";
import type { RaftOptions } from "./options.ts";
import { askRead, expireReads } from "./read-index.ts";
import { hasReady, makeReady } from "./ready.ts";
import {
  announce,
  commitByQuorum,
  isActive,
  peerUnreachable,
  snapshotSent,
  tickLeader,
} from "./replication.ts";
import { giveUpTransfer, startTransfer } from "./transfer.ts";
import {
  type EntryKind,
  entryKind,
  type MemberId,
  nobody,
  type PeerProgress,
  type RaftEvent,
  type RaftStatus,
  type Ready,
  type RefusalReason,
  type Role,
  type SnapshotMeta,
  type StepResult,
} from "./types.ts";

/**
 * The consensus core: events in by `step`, work out by `ready`. It knows no clock, disk or network,
 * and one sequence of events with one generator gives one history. See `DESIGN.md` beside.
 *
 * A thrown `InvariantViolation` means that the core is in an impossible state: the member must stop.
 */
export class Raft {
  readonly #core: Core;

  constructor(options: RaftOptions) {
    this.#core = new Core(options);
    this.#core.restartElectionTimer();
  }

  get id(): MemberId {
    return this.#core.id;
  }
  get role(): Role {
    return this.#core.role;
  }
  get term(): number {
    return this.#core.term;
  }
  /** The leader of this term, or `nobody` while none is known. */
  get leader(): MemberId {
    return this.#core.leader;
  }
  get isLeader(): boolean {
    return this.#core.role === "leader";
  }
  get commit(): number {
    return this.#core.commit;
  }
  get applied(): number {
    return this.#core.applied;
  }
  get lastIndex(): number {
    return this.#core.log.lastIndex;
  }
  /** Whether a commit index waits for the event `announce`. */
  get newsHeld(): boolean {
    return this.#core.leadership?.newsHeld ?? false;
  }
  /** The snapshot that the next `ready` says to install. */
  get snapshotToInstall(): SnapshotMeta | undefined {
    return this.#core.log.unwrittenSnapshot;
  }

  /**
   * Takes an event. For proposals the result names the new entry, for other events that went well
   * the last one in the log.
   */
  step(event: RaftEvent): StepResult {
    const refusal = this.#take(event);
    if (refusal !== undefined) return { ok: false, reason: refusal };
    return { ok: true, index: this.#core.log.lastIndex, term: this.#core.log.lastTerm };
  }

  /** Whether `ready` has something to hand out. */
  hasReady(): boolean {
    return hasReady(this.#core);
  }

  /** Hands out what is to be done. All in it counts as handed out: it does not come again. */
  ready(): Ready {
    return makeReady(this.#core);
  }

  status(): RaftStatus {
    const core = this.#core;
    const progress: PeerProgress[] = [];
    for (const peer of core.leadership?.peers.values() ?? []) {
      progress.push({
        member: peer.member,
        match: peer.match,
        next: peer.next,
        state: peer.state,
        inFlight: peer.inFlight.count,
        active: isActive(core, peer),
        learner: peer.learner,
      });
    }
    return {
      id: core.id,
      role: core.role,
      term: core.term,
      leader: core.leader,
      commit: core.commit,
      applied: core.applied,
      lastIndex: core.log.lastIndex,
      stable: core.log.stable,
      conf: core.conf,
      transferee: core.leadership?.transferee ?? nobody,
      progress,
    };
  }

  #take(event: RaftEvent): RefusalReason | undefined {
    const core = this.#core;
    switch (event.type) {
      case "message":
        handleMessage(core, event.message);
        return undefined;
      case "propose":
        return this.#propose(entryKind.normal, event.data);
      case "propose-conf-change":
        return this.#propose(entryKind.confChange, event.data);
      case "stored":
        this.#stored(event.writeId);
        return undefined;
      case "applied":
        this.#applied(event.index);
        return undefined;
      case "conf-applied":
        applyConf(core, event.index, event.conf);
        return undefined;
      case "tick":
        this.#tick();
        return undefined;
      case "read":
        askRead(core, event.context);
        return undefined;
      case "campaign":
        return this.#campaign();
      case "transfer":
        return core.leadership ? startTransfer(core, core.leadership, event.to) : "not-leader";
      case "announce":
        if (core.leadership) announce(core.leadership);
        return undefined;
      case "connected":
        voterConnected(core, event.member);
        return undefined;
      case "disconnected":
        this.#disconnected(event.member);
        return undefined;
      case "unreachable":
        if (core.leadership) peerUnreachable(core.leadership, event.member);
        return undefined;
      case "snapshot-sent":
        if (core.leadership) snapshotSent(core, core.leadership, event.member, event.index);
        return undefined;
      default:
        return unreachable(event);
    }
  }

  #propose(kind: EntryKind, data: Uint8Array): RefusalReason | undefined {
    const core = this.#core;
    const { leadership } = core;
    if (!leadership) return "not-leader";
    if (leadership.transferee !== nobody || leadership.removed) return "transferring";
    if (kind === entryKind.confChange) {
      const refusal = confChangeRefusal(core, leadership);
      if (refusal !== undefined) return refusal;
    }
    // One entry of any size is let through, so that a small bound cannot stop the cluster.
    const bytes = leadership.uncommittedBytes;
    if (bytes > 0 && bytes + data.length > core.limits.uncommittedBytesMax) return "too-much-uncommitted";
    const entry = core.appendOwn(leadership, kind, data);
    if (kind === entryKind.confChange) leadership.pendingConfIndex = entry.index;
    return undefined;
  }

  #stored(writeId: number): void {
    const core = this.#core;
    const announced = core.announcedCommit;
    core.log.stored(writeId);
    countOwnVote(core);
    if (!core.leadership) return;
    commitByQuorum(core, core.leadership);
    if (core.announcedCommit > announced) core.leadership.sendPending = true;
  }

  #applied(index: number): void {
    const core = this.#core;
    if (index > core.handedOut) assert(false, `${index} is reported applied, but was not handed out`);
    if (index < core.applied) assert(false, `applied index went back from ${core.applied} to ${index}`);
    core.applied = index;
  }

  #tick(): void {
    const core = this.#core;
    core.nowTick++;
    expireReads(core);
    if (core.leadership) tickLeader(core, core.leadership);
    else tickElection(core);
  }

  #campaign(): RefusalReason | undefined {
    const core = this.#core;
    if (core.leadership) return undefined;
    const refusal = campaignRefusal(core);
    if (refusal === undefined) campaign(core, false);
    return refusal;
  }

  #disconnected(member: MemberId): void {
    const core = this.#core;
    if (core.leadership) {
      peerUnreachable(core.leadership, member);
      if (core.leadership.transferee === member) giveUpTransfer(core, core.leadership);
    } else if (core.role === "follower" && core.leader === member && member !== nobody) {
      leaderDisconnected(core);
    }
  }
}
