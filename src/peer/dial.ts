import { withoutControls } from "../base/controls.ts";
import { limits } from "../base/limits.ts";
import type { MemberId } from "../raft/types.ts";
import { type Address, formatAddress } from "../wire/address.ts";
import { type PeerContext, selfOf } from "./context.ts";
import { FramedSocket } from "./framed-socket.ts";
import { DiallerHandshake, type HandshakeStep, type Session } from "./handshake.ts";
import type { Purpose, Refusal } from "./hello.ts";
import { openSocket } from "./sockets.ts";

export interface Dialled {
  readonly socket: FramedSocket;
  readonly session: Session;
}

/** Why a connection did not come about. */
export class DialError extends Error {
  override readonly name = "DialError";
  /** Absent when the other side was not reached or broke off. */
  readonly refusal: Refusal | undefined;
  /** Whether the other side had proved itself when it refused. */
  readonly authenticated: boolean;

  constructor(message: string, refusal?: Refusal, authenticated = false) {
    super(message);
    this.refusal = refusal;
    this.authenticated = authenticated;
  }
}

export interface DialTarget {
  readonly address: Address;
  readonly purpose: Purpose;
  /** 0 on control connections: anybody of the cluster. */
  readonly expectedId: MemberId;
}

/** Sends a frame whose content is ready, at once. */
export function sendRaw(socket: FramedSocket, content: Uint8Array): void {
  socket.writer.frame(content);
  socket.flush();
}

/**
 * Connects and shakes hands. The caller sets its own handler before the next turn.
 *
 * @throws DialError, also when `signal` aborts.
 */
export function dial(context: PeerContext, target: DialTarget, signal?: AbortSignal): Promise<Dialled> {
  const { promise, resolve, reject } = Promise.withResolvers<Dialled>();
  const place = formatAddress(target.address);
  const raw = openSocket(target.address);
  const socket = new FramedSocket(raw, context.clock, context.limits);
  const handshake = new DiallerHandshake(selfOf(context), target.purpose, target.expectedId);
  const timer = context.clock.after(context.limits.handshakeMs, () => {
    socket.close(`no handshake within ${context.limits.handshakeMs} ms`);
  });
  const abort = (): void => socket.close("it is no longer wanted");
  const finish = (): void => {
    timer.cancel();
    signal?.removeEventListener("abort", abort);
  };
  if (signal?.aborted === true) abort();
  signal?.addEventListener("abort", abort);
  raw.once("connect", () => sendRaw(socket, handshake.start()));
  socket.handle({
    onClosed(reason) {
      finish();
      reject(new DialError(`${place} was not reached: ${reason}`));
    },
    onFrame(frame) {
      const step = handshake.onFrame(frame);
      if (step.type === "continue") {
        sendRaw(socket, step.send);
        return;
      }
      finish();
      if (step.type === "failed") {
        context.refusals.refused(place, step.refusal, "to");
        socket.close(step.refusal.message);
        reject(refusedError(place, step));
        return;
      }
      socket.frameBytesMax =
        target.purpose === "control" ? context.limits.controlFrameBytesMax : limits.frameBytesMax;
      // Until the caller says who listens, nothing is read.
      socket.pause();
      resolve({ socket, session: step.session });
    },
  });
  return promise;
}

/** Of what the other side says, which may be anybody. */
const shownCharactersMax = 200;

function refusedError(place: string, step: Extract<HandshakeStep, { type: "failed" }>): DialError {
  const { reason, message } = step.refusal;
  const text = step.byRemote
    ? `${place} refuses the connection (${reason}) and says: ${withoutControls(message.slice(0, shownCharactersMax))}`
    : `the connection to ${place} is refused here (${reason}): ${message}`;
  return new DialError(text, step.refusal, step.authenticated);
}
