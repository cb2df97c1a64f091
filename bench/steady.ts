import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Part, PartResult } from "./part.ts";

/*
 * A virtual machine may be paused, or a process be stopped, for a minute and more, with clocks that
 * go on. No figure of such a time says anything, and requests that were under way fail.
 */

const lookMs = 200;
/** The benchmark itself may be held up for so long. */
const stallMsMin = 1_500;
const attemptsMax = 3;

interface Stalls {
  readonly count: number;
  readonly longestMs: number;
}

/** Notes when nothing ran in this process. */
class StallWatch {
  #before = performance.now();
  #count = 0;
  #longestMs = 0;
  readonly #timer = setInterval(() => {
    const now = performance.now();
    const gapMs = now - this.#before;
    this.#before = now;
    if (gapMs < stallMsMin) return;
    this.#count++;
    this.#longestMs = Math.max(this.#longestMs, gapMs);
  }, lookMs);

  stop(): Stalls {
    clearInterval(this.#timer);
    return { count: this.#count, longestMs: this.#longestMs };
  }
}

function said({ count, longestMs }: Stalls): string {
  return `the machine stood still ${count === 1 ? "once" : `${count} times`}, for ${(longestMs / 1000).toFixed(0)} s at the longest`;
}

function withNote(result: PartResult, stalls: Stalls): PartResult {
  if (stalls.count === 0) return result;
  const note = `While this was measured ${said(stalls)}: measure it again before a conclusion.`;
  return { ...result, about: [...result.about, note] };
}

/** The part, which is begun anew when it fails and the machine stood still, and says so when it only stood still. */
export function steady(part: Part): Part {
  return {
    ...part,
    run: async (options) => {
      for (let attempt = 1; ; attempt++) {
        const folder = join(options.folder, `attempt${attempt}`);
        mkdirSync(folder, { recursive: true });
        const watch = new StallWatch();
        try {
          const result = await part.run({ ...options, folder });
          return withNote(result, watch.stop());
        } catch (error) {
          const stalls = watch.stop();
          if (stalls.count === 0 || attempt === attemptsMax) throw error;
          const reason = error instanceof Error ? error.message : String(error);
          options.log(`${part.name} failed (${reason}), but ${said(stalls)}: begun anew`);
        }
      }
    },
  };
}
