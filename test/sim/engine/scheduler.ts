import { drainMicrotasks } from "bun:jsc";
import type { Timer } from "../../../src/base/clock.ts";

interface Planned {
  readonly atUs: number;
  /** Ties are broken by the order of planning. */
  readonly order: number;
  action: (() => void) | undefined;
}

/**
 * Simulated time: a heap of events that run one after the other in one thread. After each event
 * every promise that it settled is worked off, so that `await` in the product costs no time and
 * has one order.
 */
export class Scheduler {
  readonly #heap: Planned[] = [];
  #order = 0;
  #nowUs = 0;
  #events = 0;

  /** Microseconds since the simulation began. */
  get nowUs(): number {
    return this.#nowUs;
  }

  get nowMs(): number {
    return this.#nowUs / 1000;
  }

  /** Events run so far. */
  get events(): number {
    return this.#events;
  }

  after(delayUs: number, action: () => void): Timer {
    const planned: Planned = { atUs: this.#nowUs + Math.max(0, delayUs), order: this.#order++, action };
    this.#push(planned);
    return {
      cancel: () => {
        planned.action = undefined;
      },
    };
  }

  afterMs(delayMs: number, action: () => void): Timer {
    return this.after(delayMs * 1000, action);
  }

  /** Runs events until `untilUs`, `done` says so, or nothing is left. `afterEach` runs after every event. */
  run(untilUs: number, afterEach: () => void, done: () => boolean = () => false): void {
    for (;;) {
      const next = this.#heap[0];
      if (next === undefined || next.atUs > untilUs) break;
      this.#pop();
      const action = next.action;
      if (action === undefined) continue;
      this.#nowUs = Math.max(this.#nowUs, next.atUs);
      this.#events++;
      action();
      drainMicrotasks();
      afterEach();
      if (done()) return;
    }
    this.#nowUs = Math.max(this.#nowUs, untilUs);
  }

  #push(planned: Planned): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(planned);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent] as Planned;
      if (!before(planned, above)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = planned;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as Planned;
    const size = heap.length;
    if (size === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= size) break;
      const right = child + 1;
      if (right < size && before(heap[right] as Planned, heap[child] as Planned)) child = right;
      const below = heap[child] as Planned;
      if (!before(below, last)) break;
      heap[at] = below;
      at = child;
    }
    heap[at] = last;
  }
}

function before(a: Planned, b: Planned): boolean {
  return a.atUs < b.atUs || (a.atUs === b.atUs && a.order < b.order);
}
