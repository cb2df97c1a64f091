import type { MemberId } from "./types.ts";

/**
 * What the leader knows of one other member.
 * - `probe`: where the logs agree is not known; one append at a time is under way.
 * - `replicate`: it is; entries are sent optimistically, `next` runs ahead of `match`.
 * - `snapshot`: the log no longer holds what it needs; only heartbeats go until data arrived.
 *
 * Always `match < next`. `match` never goes down: it stands for a durable acknowledgement.
 */
export class Progress {
  readonly member: MemberId;
  learner: boolean;
  state: "probe" | "replicate" | "snapshot" = "probe";
  match = 0;
  next: number;
  /** In `probe`: an append is out and not answered. */
  probeSent = false;
  /** The commit index the member was last told. */
  sentCommit = 0;
  /** The tick at which it was last heard from. */
  heardAtTick: number;
  /** The newest ReadIndex round it confirmed. */
  readRound = 0;
  readonly inFlight: InFlight;

  constructor(member: MemberId, learner: boolean, next: number, nowTick: number, inFlight: InFlight) {
    this.member = member;
    this.learner = learner;
    this.next = next;
    this.heardAtTick = nowTick;
    this.inFlight = inFlight;
  }

  becomeProbe(next: number): void {
    this.state = "probe";
    this.next = Math.max(next, this.match + 1);
    this.probeSent = false;
    this.sentCommit = Math.min(this.sentCommit, this.next - 1);
    this.inFlight.clear();
  }

  becomeReplicate(): void {
    this.state = "replicate";
    this.next = this.match + 1;
    this.probeSent = false;
    this.inFlight.clear();
  }

  becomeSnapshot(): void {
    this.state = "snapshot";
    this.probeSent = false;
    this.inFlight.clear();
  }

  /** Whether entries may be sent now. */
  get paused(): boolean {
    if (this.state === "probe") return this.probeSent;
    return this.state === "snapshot" || this.inFlight.full;
  }

  /** Takes an acknowledgement; false when it says nothing new. */
  acknowledge(index: number): boolean {
    if (index >= this.next) this.next = index + 1;
    if (index <= this.match) return false;
    this.match = index;
    return true;
  }

  /** Takes a rejection of `rejected`; false when a later message has overtaken it. */
  reject(rejected: number, agreeAtMost: number): boolean {
    if (this.state === "replicate") {
      if (rejected <= this.match) return false;
      this.becomeProbe(this.match + 1);
      return true;
    }
    if (this.state === "snapshot" || this.next - 1 !== rejected) return false;
    this.next = Math.max(Math.min(rejected, agreeAtMost + 1), this.match + 1);
    this.probeSent = false;
    this.sentCommit = Math.min(this.sentCommit, this.next - 1);
    return true;
  }
}

/** A window over the appends that are not answered, bounded in messages and in bytes. */
export class InFlight {
  readonly #messagesMax: number;
  readonly #bytesMax: number;
  readonly #sent: { readonly last: number; readonly bytes: number }[] = [];
  #bytes = 0;

  constructor(messagesMax: number, bytesMax: number) {
    this.#messagesMax = messagesMax;
    this.#bytesMax = bytesMax;
  }

  get count(): number {
    return this.#sent.length;
  }

  get full(): boolean {
    return this.#sent.length >= this.#messagesMax || this.#bytes >= this.#bytesMax;
  }

  add(last: number, bytes: number): void {
    this.#sent.push({ last, bytes });
    this.#bytes += bytes;
  }

  /** Everything up to `index` is answered. */
  release(index: number): void {
    for (let first = this.#sent[0]; first && first.last <= index; first = this.#sent[0]) {
      this.#bytes -= first.bytes;
      this.#sent.shift();
    }
  }

  clear(): void {
    this.#sent.length = 0;
    this.#bytes = 0;
  }
}
