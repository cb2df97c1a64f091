import { getLogger } from "@logtape/logtape";
import { limits } from "../base/limits.ts";
import type { MemberId } from "../raft/types.ts";
import { decodeLinkFrame, isPingOrPong, writeLinkFrame } from "../wire/link-frames.ts";
import { decodeMessage } from "../wire/messages.ts";
import { WireError } from "../wire/wire-error.ts";
import { type PeerContext, selfOf } from "./context.ts";
import { sendRaw } from "./dial.ts";
import { FramedSocket } from "./framed-socket.ts";
import { AcceptorHandshake, type Session } from "./handshake.ts";
import type { Hello, Refusal } from "./hello.ts";
import type { Socket } from "./sockets.ts";
import type { PeerMessage } from "./types.ts";

const log = getLogger(["coracle", "peer"]);

export interface AcceptorHooks {
  /** A member has connected to this one: a good time to dial it. */
  onMember(member: MemberId): void;
  onSnapshot(socket: FramedSocket, session: Session): void;
  onControl(socket: FramedSocket, session: Session): void;
  isRemoved(member: MemberId): boolean;
}

interface Incoming {
  readonly socket: FramedSocket;
  readonly member: MemberId;
  /** Which process it is. */
  readonly instance: string;
  received: number;
  silentTicks: number;
}

/** The connections that others made to this member. */
export class Acceptor {
  readonly #context: PeerContext;
  readonly #hooks: AcceptorHooks;
  /** In the order of their arrival. */
  readonly #unauthenticated = new Set<FramedSocket>();
  readonly #members = new Map<MemberId, Incoming>();
  readonly #others = new Set<FramedSocket>();
  #controls = 0;

  constructor(context: PeerContext, hooks: AcceptorHooks) {
    this.#context = context;
    this.#hooks = hooks;
  }

  get unauthenticated(): number {
    return this.#unauthenticated.size;
  }

  accept(raw: Socket): void {
    const context = this.#context;
    const socket = new FramedSocket(raw, context.clock, context.limits);
    this.#makeRoom();
    this.#unauthenticated.add(socket);
    const handshake = new AcceptorHandshake(selfOf(context), (remote) => this.#refusal(remote));
    const timer = context.clock.after(context.limits.handshakeMs, () => {
      socket.close(`no handshake within ${context.limits.handshakeMs} ms`);
    });
    const finish = (): void => {
      timer.cancel();
      this.#unauthenticated.delete(socket);
    };
    socket.handle({
      onClosed: (reason) => {
        finish();
        const refusal: Refusal = { reason: "malformed", message: reason };
        if (socket.malformed) context.refusals.refused(hostOf(socket), refusal, "from");
      },
      onFrame: (frame) => {
        const step = handshake.onFrame(frame);
        if (step.send !== undefined) sendRaw(socket, step.send);
        if (step.type === "failed") {
          context.refusals.refused(hostOf(socket), step.refusal, "from");
          socket.closeAfterFlush(step.refusal.message);
        } else if (step.type === "done") {
          finish();
          this.#admit(socket, step.session);
        }
      },
    });
  }

  /** Closes what members have open that are now removed. They are told why when they dial again. */
  closeRemoved(): void {
    for (const incoming of this.#members.values()) {
      if (this.#hooks.isRemoved(incoming.member)) incoming.socket.close("the member was removed");
    }
  }

  /** Called once every `pingMs`; the other side sends a ping in each. */
  tick(): void {
    for (const incoming of this.#members.values()) {
      const { received } = incoming.socket;
      incoming.silentTicks = received === incoming.received ? incoming.silentTicks + 1 : 0;
      incoming.received = received;
      if (incoming.silentTicks > this.#context.limits.silentPingsMax) {
        incoming.socket.close("nothing was heard from it");
      }
    }
  }

  close(reason: string): void {
    for (const socket of [...this.#unauthenticated, ...this.#others]) socket.close(reason);
    for (const incoming of this.#members.values()) incoming.socket.close(reason);
  }

  #makeRoom(): void {
    if (this.#unauthenticated.size < this.#context.limits.unauthenticatedMax) return;
    // An honest handshake takes milliseconds, so the oldest is the one that stalls.
    for (const oldest of this.#unauthenticated) {
      this.#unauthenticated.delete(oldest);
      oldest.close("too many connections wait for their handshake");
      return;
    }
  }

  #refusal(remote: Hello): Refusal | undefined {
    if (remote.purpose === "control") {
      if (this.#controls < this.#context.limits.controlMax) return undefined;
      return { reason: "busy", message: "too many control requests are being answered" };
    }
    if (this.#hooks.isRemoved(remote.memberId)) {
      return { reason: "removed", message: `member ${remote.memberId} was removed from the cluster` };
    }
    return this.#duplicate(remote);
  }

  /**
   * A second process with a copy of a member's data folder. The one that is here stays: taking turns,
   * the two would cut each other's connections for ever. A process that died has closed its
   * connection, and one whose machine died is silent.
   */
  #duplicate(remote: Hello): Refusal | undefined {
    const known = this.#members.get(remote.memberId);
    if (known === undefined || known.instance === remote.instance || known.silentTicks > 0) return undefined;
    const message = `another process runs as member ${remote.name}, connected from ${hostOf(known.socket)}: of two with copies of one data folder only one may run, stop the other`;
    return { reason: "duplicate", message };
  }

  #admit(socket: FramedSocket, session: Session): void {
    if (session.purpose === "raft") {
      socket.frameBytesMax = limits.frameBytesMax;
      this.#serveMember(socket, session);
      return;
    }
    this.#others.add(socket);
    if (session.purpose === "control") {
      this.#controls++;
      socket.frameBytesMax = this.#context.limits.controlFrameBytesMax;
      socket.onceClosed(() => this.#controls--);
      this.#hooks.onControl(socket, session);
    } else {
      socket.frameBytesMax = limits.frameBytesMax;
      this.#hooks.onSnapshot(socket, session);
    }
    socket.onceClosed(() => this.#others.delete(socket));
  }

  #serveMember(socket: FramedSocket, session: Session): void {
    const member = session.remote.memberId;
    const { instance } = session.remote;
    const incoming: Incoming = { socket, member, instance, received: socket.received, silentTicks: 0 };
    const former = this.#members.get(member);
    this.#members.set(member, incoming);
    former?.socket.close("the member connected anew");
    socket.handle({
      onFrame: (frame) => this.#onFrame(frame, incoming, session.version),
      onClosed: (reason) => {
        if (this.#members.get(member) !== incoming) return;
        this.#members.delete(member);
        log.info("Connection from member {name} closed: {reason}.", { name: session.remote.name, reason });
        this.#context.events.onDisconnected(member);
      },
    });
    this.#hooks.onMember(member);
  }

  #onFrame(frame: Uint8Array, incoming: Incoming, version: number): void {
    if (isPingOrPong(frame)) {
      const ping = decodeLinkFrame(frame, version);
      if (ping.type !== "ping") throw new WireError("a pong came without a ping");
      writeLinkFrame(incoming.socket.writer, { type: "pong", number: ping.number }, version);
      incoming.socket.flush();
      return;
    }
    const message = decodeMessage(frame, version);
    if (!this.#addressed(message, incoming.member)) {
      throw new WireError(`a ${message.type} names another sender or receiver than its connection`);
    }
    this.#context.events.onMessage(incoming.member, message);
  }

  #addressed(message: PeerMessage, from: MemberId): boolean {
    if (!("term" in message)) return true;
    return message.from === from && message.to === this.#context.identity()?.memberId;
  }
}

function hostOf(socket: FramedSocket): string {
  return socket.remote.slice(0, socket.remote.lastIndexOf(":"));
}
