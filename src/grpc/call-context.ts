import type { Metadata } from "@grpc/grpc-js";
import type { EtcdContext } from "../etcd/types.ts";

/** What handlers need of a call, of whichever kind it is. */
export interface CancellableCall {
  readonly metadata: Metadata;
  readonly cancelled: boolean;
  once(event: "cancelled", listener: () => void): unknown;
}

/** The call as its handler sees it. Most calls never look at the signal, so it is made when asked for. */
export class CallContext implements EtcdContext {
  readonly face = "grpc";
  readonly #call: CancellableCall;
  #controller: AbortController | undefined;

  constructor(call: CancellableCall) {
    this.#call = call;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      const controller = new AbortController();
      this.#controller = controller;
      if (this.#call.cancelled) controller.abort();
      else this.#call.once("cancelled", () => controller.abort());
    }
    return this.#controller.signal;
  }

  /** Whether the handler asked for the signal: then the call may take as long as it likes. */
  get waits(): boolean {
    return this.#controller !== undefined;
  }

  get aborted(): boolean {
    return this.#controller?.signal.aborted ?? this.#call.cancelled;
  }

  /** Ends a call from this side. */
  abort(): void {
    void this.signal;
    this.#controller?.abort();
  }

  get token(): string | undefined {
    const { metadata } = this.#call;
    const given = metadata.get("token")[0] ?? metadata.get("authorization")[0];
    return given === undefined ? undefined : String(given).replace(/^Bearer /i, "");
  }

  get requireLeader(): boolean {
    return this.#call.metadata.get("hasleader")[0] === "true";
  }
}
