import { getLogger } from "@logtape/logtape";
import { CoracleError, messageOf } from "../base/errors.ts";
import { parseAddress } from "../wire/address.ts";
import { decodeMessage, writeMessage } from "../wire/messages.ts";
import { WireError } from "../wire/wire-error.ts";
import type { ControlHandler, PeerContext } from "./context.ts";
import { DialError, type Dialled, dial } from "./dial.ts";
import type { FramedSocket } from "./framed-socket.ts";
import type { Session } from "./handshake.ts";
import type { PeerMessage } from "./types.ts";

const log = getLogger(["coracle", "peer"]);
const requestId = 1;

/**
 * One authenticated question and its answer, on a connection of its own.
 *
 * @throws CoracleError `peer_refused` when the other side or this one refuses the connection,
 *   `not_proposed` when it was not reached (nothing was asked), `outcome_unknown` when no answer
 *   came in time, or whatever the other side answered.
 */
export async function askControl(
  context: PeerContext,
  address: string,
  request: { readonly name: string; readonly body: unknown; readonly timeoutMs: number },
): Promise<unknown> {
  const target = { address: parseAddress(address), purpose: "control" as const, expectedId: 0 };
  const dialled = await dialOrExplain(context, address, target);
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  const { socket, session } = dialled;
  const timer = context.clock.after(request.timeoutMs, () =>
    socket.close(`no answer in ${request.timeoutMs} ms`),
  );
  socket.handle({
    onFrame(frame) {
      settle(decodeMessage(frame, session.version), { resolve, reject });
      socket.close("it has answered");
    },
    onClosed(reason) {
      timer.cancel();
      // Has no effect after an answer.
      reject(
        new CoracleError("outcome_unknown", `${address} gave no answer to "${request.name}": ${reason}.`),
      );
    },
  });
  writeMessage(
    socket.writer,
    { type: "request", id: requestId, name: request.name, body: request.body },
    session.version,
  );
  socket.flush();
  socket.resume();
  return promise;
}

async function dialOrExplain(
  context: PeerContext,
  address: string,
  target: Parameters<typeof dial>[1],
): Promise<Dialled> {
  try {
    return await dial(context, target);
  } catch (error) {
    if (!(error instanceof DialError)) throw error;
    const refused = error.refusal !== undefined && error.refusal.reason !== "busy";
    throw new CoracleError(refused ? "peer_refused" : "not_proposed", `${error.message}.`, {
      address,
      ...(error.refusal !== undefined && { reason: error.refusal.reason }),
    });
  }
}

function settle(
  message: PeerMessage,
  answer: { resolve(body: unknown): void; reject(error: Error): void },
): void {
  if (message.type === "response" && message.id === requestId) {
    answer.resolve(message.body);
  } else if (message.type === "request-failed" && message.id === requestId) {
    answer.reject(new CoracleError(message.code, message.message));
  } else {
    throw new WireError(`a ${message.type} came where the answer to a request is expected`);
  }
}

/** Answers the one request of an accepted control connection. */
export function serveControl(
  context: PeerContext,
  handler: ControlHandler,
  socket: FramedSocket,
  session: Session,
): void {
  const timer = context.clock.after(context.limits.controlMs, () => socket.close("it took too long"));
  socket.onceClosed(() => timer.cancel());
  let asked = false;
  socket.handle({
    onClosed() {},
    onFrame(frame) {
      const message = decodeMessage(frame, session.version);
      if (message.type !== "request" || asked) throw new WireError("one request is expected");
      asked = true;
      void answer(handler, message).then((reply) => {
        if (!socket.open) return;
        writeMessage(socket.writer, reply, session.version);
        socket.closeAfterFlush("it was answered");
      });
    },
  });
}

async function answer(
  handler: ControlHandler,
  request: Extract<PeerMessage, { type: "request" }>,
): Promise<PeerMessage> {
  try {
    const body = await handler(request.name, request.body);
    return { type: "response", id: request.id, body };
  } catch (error) {
    if (error instanceof CoracleError) {
      return { type: "request-failed", id: request.id, code: error.code, message: error.message };
    }
    log.error("A control request {name} failed: {reason}.", {
      name: request.name,
      reason: messageOf(error),
    });
    return {
      type: "request-failed",
      id: request.id,
      code: "internal",
      message: "The member failed to answer; its log tells more.",
    };
  }
}
