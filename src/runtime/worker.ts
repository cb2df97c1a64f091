/** Where `bun build --compile` puts the files of an executable. */
const embeddedRoot = "file:///$bunfs/root/";

/** What a worker says once it listens. No message of its own may have this form. */
export const readyMessage = "ready";

export interface WorkerEvents {
  onMessage(message: unknown): void;
  /** The module could not be loaded, or an error was thrown that it did not catch. */
  onError(reason: string): void;
}

/** A worker thread with the messages it is sent and sends. */
export interface WorkerLink {
  /** The buffers in `transfer` belong to the worker afterwards. */
  post(message: unknown, transfer?: ArrayBuffer[]): void;
  /** Ends the thread at once; nothing more is reported. */
  terminate(): void;
}

/** Where the module of a worker is: beside this one, or in the executable. */
function moduleUrl(path: string): URL {
  const compiled = import.meta.url.startsWith(embeddedRoot);
  return compiled ? new URL(`./${path}`, embeddedRoot) : new URL(`../${path}`, import.meta.url);
}

/**
 * Starts a worker thread from a module under `src/`, for instance `storage/log-writer.ts`, which
 * listens by `serveWorker`. Messages wait until it does: what arrives while the module still loads
 * may get lost.
 *
 * In a compiled executable the module must have been an entry point of its own, with `src` as the
 * root of the entry points, so that it lies at the same relative path there.
 */
export function startWorker(path: string, events: WorkerEvents): WorkerLink {
  const worker = new Worker(moduleUrl(path).href, { type: "module" });
  let waiting: (() => void)[] | undefined = [];
  let ended = false;
  worker.onmessage = (event: MessageEvent) => {
    if (ended) return;
    if (event.data === readyMessage && waiting !== undefined) {
      const held = waiting;
      waiting = undefined;
      for (const send of held) send();
    } else events.onMessage(event.data);
  };
  worker.onerror = (event) => {
    event.preventDefault();
    if (!ended) events.onError(event.message);
  };
  return {
    post: (message, transfer = []) => {
      const send = (): void => worker.postMessage(message, transfer);
      if (waiting === undefined) send();
      else waiting.push(send);
    },
    terminate: () => {
      ended = true;
      worker.terminate();
    },
  };
}

/** The modules that `startWorker` is called with: entry points of a compiled executable. */
export const workerModules = ["storage/log-writer.ts", "storage/state-worker.ts"] as const;
