/** For tests: a signal that knows how many listen to it. */
export class CountedAbort {
  readonly controller = new AbortController();
  #listeners = 0;

  constructor() {
    const { signal } = this.controller;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...args: Parameters<typeof add>): void => {
      this.#listeners++;
      add(...args);
    };
    signal.removeEventListener = (...args: Parameters<typeof remove>): void => {
      this.#listeners--;
      remove(...args);
    };
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  get listeners(): number {
    return this.#listeners;
  }
}
