import assert from "node:assert/strict";
import { fromUtf8 } from "../base/bytes.ts";
import type { Clock, Timer } from "../base/clock.ts";
import type { CoracleError } from "../base/errors.ts";
import type { Watch, WatchBatch, WatchEvent, WatchReceiver } from "../service/service.ts";

/** A clock whose turns end when a test says so. */
export class TurnClock implements Clock {
  #nowMs = 0;
  #turns: (() => void)[] = [];
  #timers: { readonly atMs: number; readonly action: () => void }[] = [];

  nowMs(): number {
    return this.#nowMs;
  }
  wallMs(): number {
    return this.#nowMs;
  }
  after(delayMs: number, action: () => void): Timer {
    const timer = { atMs: this.#nowMs + delayMs, action };
    this.#timers.push(timer);
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((other) => other !== timer);
      },
    };
  }
  endOfTurn(action: () => void): void {
    this.#turns.push(action);
  }

  /** Ends one turn. False when nothing waited for it. */
  turn(): boolean {
    const actions = this.#turns;
    this.#turns = [];
    for (const action of actions) action();
    return actions.length > 0;
  }

  /** Ends turns until nothing waits. */
  settle(): void {
    for (let turns = 0; this.turn(); turns++) assert.ok(turns < 100_000, "the hub never rests");
  }

  advance(ms: number): void {
    this.#nowMs += ms;
    const due = this.#timers.filter(({ atMs }) => atMs <= this.#nowMs);
    this.#timers = this.#timers.filter(({ atMs }) => atMs > this.#nowMs);
    for (const { action } of due) action();
  }
}

/** An event in one line: `5 put a=1 (was 0)`. */
export function told({ type, keyValue, previous }: WatchEvent): string {
  const value = type === "put" ? `=${fromUtf8(keyValue.value)}` : "";
  const was = previous === undefined ? "" : ` (was ${fromUtf8(previous.value)})`;
  return `${keyValue.modRevision} ${type} ${fromUtf8(keyValue.key)}${value}${was}`;
}

/** Notes what a watch is given, and checks what holds for every watch. */
export class Recorder implements WatchReceiver {
  readonly events: WatchEvent[] = [];
  readonly batches: WatchBatch[] = [];
  error: CoracleError | undefined;
  watch: Watch | undefined;
  /** Whether it takes more after this batch. */
  more: (batch: WatchBatch) => boolean = () => true;
  #bookmark = 0;

  receive(batch: WatchBatch): boolean {
    assert.equal(this.error, undefined, "a batch after the end");
    assert.ok(this.watch !== undefined, "a batch from inside open");
    const last = this.events.at(-1)?.keyValue.modRevision ?? 0;
    const first = batch.events[0]?.keyValue.modRevision ?? 0;
    assert.ok(batch.events.length > 0, "an empty batch");
    assert.ok(first > last, `revision ${first} after ${last}: torn, repeated or out of order`);
    assert.ok(first > this.#bookmark, `an event of revision ${first} after the bookmark ${this.#bookmark}`);
    for (let i = 1; i < batch.events.length; i++) {
      const [a, b] = [batch.events[i - 1], batch.events[i]];
      assert.ok((a?.keyValue.modRevision ?? 0) <= (b?.keyValue.modRevision ?? 0), "out of order");
    }
    assert.ok(
      batch.revision >= (batch.events.at(-1)?.keyValue.modRevision ?? 0),
      "a batch behind its events",
    );
    this.events.push(...batch.events);
    this.batches.push(batch);
    return this.more(batch);
  }

  ended(error: CoracleError): void {
    assert.equal(this.error, undefined, "ended twice");
    assert.ok(this.watch !== undefined, "ended from inside open");
    this.error = error;
  }

  /** Takes a bookmark: nothing at or below it may come from now on. */
  bookmark(): number {
    const revision = this.watch?.deliveredRevision ?? 0;
    assert.ok(revision >= this.#bookmark, `the bookmark ${revision} after ${this.#bookmark}`);
    this.#bookmark = revision;
    return revision;
  }

  lines(): string[] {
    return this.events.map(told);
  }
}
