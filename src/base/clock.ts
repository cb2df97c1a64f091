/** A timer that can be called off. Cancelling twice, or after it fired, does nothing. */
export interface Timer {
  cancel(): void;
}

/** Time, as the product sees it. The simulator gives its own. */
export interface Clock {
  /** Milliseconds on a clock that never goes back. Only differences have a meaning. */
  nowMs(): number;
  /** Milliseconds since 1970, which an operator or NTP may step back or forth. */
  wallMs(): number;
  /** Calls `action` once, `delayMs` milliseconds from now at the earliest. */
  after(delayMs: number, action: () => void): Timer;
  /** Calls `action` after the events that are already waiting: the end of this event-loop turn. */
  endOfTurn(action: () => void): void;
}

/** `setTimeout` takes a longer time for none at all. */
const timeoutMsMax = 0x7fff_ffff;

/** The clock of the machine. */
export const systemClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  after(delayMs, action) {
    if (delayMs <= timeoutMsMax) {
      const handle = setTimeout(action, delayMs);
      return { cancel: () => clearTimeout(handle) };
    }
    let rest: Timer | undefined;
    const handle = setTimeout(() => {
      rest = systemClock.after(delayMs - timeoutMsMax, action);
    }, timeoutMsMax);
    return {
      cancel: () => {
        clearTimeout(handle);
        rest?.cancel();
      },
    };
  },
  endOfTurn(action) {
    setImmediate(action);
  },
};
