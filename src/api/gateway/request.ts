import type { Context } from "hono";
import { CoracleError, messageOf } from "../../base/errors.ts";
import { type JoinedSignal, joinedSignal } from "../../base/signals.ts";
import { EtcdError, grpcCodes } from "../../etcd/error.ts";
import type { EtcdContext } from "../../etcd/types.ts";
import { readBody } from "../body.ts";
import { firstValue, type Json, JsonError } from "./json.ts";

/** Room around a value: etcd allows a message as much more than a request. */
const messageOverheadBytes = 512 * 1024;

/** The largest message in its binary form, as of gRPC; 2 MiB unless values may be larger. */
export function messageBytesMaxOf(valueBytesMax: number): number {
  return valueBytesMax + messageOverheadBytes;
}

// What is no UTF-8 becomes U+FFFD, as in Go; a byte order mark is no white space.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** A request of the gateway, as its handler sees it. */
export class GatewayContext implements EtcdContext {
  readonly face = "gateway";
  readonly #request: Request;
  readonly #stopping: AbortSignal;
  #gone: AbortController | undefined;
  #joined: JoinedSignal | undefined;

  constructor(c: Context, stopping: AbortSignal) {
    this.#request = c.req.raw;
    this.#stopping = stopping;
  }

  /** To be aborted by the answer's stream when its reader is gone. Few requests have a stream. */
  get gone(): AbortController {
    this.#gone ??= new AbortController();
    return this.#gone;
  }

  /** Most requests never look at it. */
  get signal(): AbortSignal {
    this.#joined ??= joinedSignal([this.#request.signal, this.#stopping, this.gone.signal]);
    return this.#joined.signal;
  }

  get aborted(): boolean {
    return this.#joined?.signal.aborted === true;
  }

  /** To be called when the request was answered: the signal of the member's stop lives on. */
  end(): void {
    this.#joined?.end();
  }

  get stopping(): boolean {
    return this.#stopping.aborted;
  }

  get token(): string | undefined {
    return this.#request.headers.get("authorization")?.replace(/^Bearer /i, "");
  }

  get requireLeader(): boolean {
    return this.#request.headers.get("grpc-metadata-hasleader") === "true";
  }
}

/**
 * A body may be twice as long as the largest message: that as base64, and names and escapes around it.
 *
 * @throws EtcdError for a body that is too large or did not arrive.
 */
export async function bodyText(request: Request, messageBytesMax: number): Promise<string> {
  const bodyBytesMax = 2 * messageBytesMax;
  try {
    const bytes = await readBody(request, bodyBytesMax, () => {
      return new CoracleError("request_too_large", "The body is too large.");
    });
    return decoder.decode(bytes);
  } catch (error) {
    if (error instanceof CoracleError && error.code === "request_too_large") {
      throw tooLarge(Number(request.headers.get("content-length") ?? bodyBytesMax + 1), messageBytesMax);
    }
    throw new EtcdError(grpcCodes.invalidArgument, messageOf(error));
  }
}

function tooLarge(bytes: number, messageBytesMax: number): EtcdError {
  return new EtcdError(
    grpcCodes.resourceExhausted,
    `grpc: received message larger than max (${bytes} vs. ${messageBytesMax})`,
  );
}

/**
 * The first document of a body as a message; an empty body is an empty message.
 *
 * @throws EtcdError with Go's words for what cannot be read.
 */
export function firstMessage<M>(text: string, decode: (json: Json) => M): M {
  return readAs(grpcCodes.invalidArgument, () => decode(firstValue(text)?.value ?? null));
}

/** Runs a reader of JSON; what it cannot read is refused with this code. */
export function readAs<T>(code: 2 | 3, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof JsonError) throw new EtcdError(code, error.message);
    throw error;
  }
}

/** A message that is larger than etcd's transport takes; `bytes` is counted only when it could be. */
export function checkMessageBytes(text: string, messageBytesMax: number, bytes: () => number): void {
  if (text.length <= messageBytesMax) return;
  const count = bytes();
  if (count > messageBytesMax) throw tooLarge(count, messageBytesMax);
}
