import { getLogger } from "@logtape/logtape";
import { messageOf } from "../base/errors.ts";
import type { LogStore } from "../storage/types.ts";
import type { NodeOptions } from "./options.ts";
import type { StateStore } from "./state-store.ts";

const log = getLogger(["coracle", "storage"]);

export interface LogKeeperContext {
  readonly log: LogStore;
  readonly store: Pick<StateStore, "checkpoint">;
  readonly options: Pick<NodeOptions, "logEntriesMax" | "logBytesMax" | "logTailEntries">;
  /** The log after this index must stay, for a snapshot on its way. */
  keepAfter(): number | undefined;
}

/**
 * Cuts the log when it grew past its limits: only up to what the state holds durably, minus a tail
 * for followers that are a little late.
 */
export class LogKeeper {
  readonly #context: LogKeeperContext;
  #working = false;

  constructor(context: LogKeeperContext) {
    this.#context = context;
  }

  /** Called about once a second. */
  check(): void {
    const { entries, bytes } = this.#context.log.size();
    const { logEntriesMax, logBytesMax } = this.#context.options;
    if (this.#working || (entries <= logEntriesMax && bytes <= logBytesMax)) return;
    this.#working = true;
    this.#cut()
      .catch((error: unknown) => {
        log.warn("The log could not be cut: {reason}", { reason: messageOf(error) });
      })
      .finally(() => {
        this.#working = false;
      });
  }

  async #cut(): Promise<void> {
    const durable = await this.#context.store.checkpoint();
    const { entries, bytes } = this.#context.log.size();
    const { logBytesMax, logTailEntries } = this.#context.options;
    // A tail of large entries must not hold the log above its limit in bytes.
    const entryBytes = Math.max(1, bytes / Math.max(1, entries));
    const tail = Math.min(logTailEntries, Math.floor(logBytesMax / 2 / entryBytes));
    const index = Math.min(
      this.#context.log.lastIndex() - tail,
      durable,
      this.#context.keepAfter() ?? durable,
    );
    if (index < this.#context.log.firstIndex()) return;
    this.#context.log.cut(index);
    log.debug("Cut the log up to index {index}.", { index });
  }
}
