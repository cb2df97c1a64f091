import { readyMessage } from "./worker.ts";

declare const self: DedicatedWorkerGlobalScope;

/** The worker's side of `startWorker`: listens, and says so. */
export function serveWorker(onMessage: (message: unknown) => void): void {
  self.onmessage = (event: MessageEvent) => onMessage(event.data);
  self.postMessage(readyMessage);
}

/** Sends a message to the thread that started this worker. */
export function postToOwner(message: unknown): void {
  self.postMessage(message);
}
