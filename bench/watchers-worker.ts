import { parentPort, workerData } from "node:worker_threads";
import { nowMs } from "./clock.ts";
import { EventCounter } from "./event-counter.ts";
import { endOf } from "./gateway.ts";
import type { WatchedView, WatchersOptions } from "./watchers.ts";

/* The thread of Watchers. It must cost little beside the members: sockets of the runtime, no parsing. */

const { endpoints, count, face, prefix } = workerData as WatchersOptions;
const counters: EventCounter[] = [];
/** How many watches have had the n-th event. */
let arrivals = new Uint32Array(1024);
let complete = new Float64Array(1024);
let failure: string | undefined;

function requestText(endpoint: string): string {
  if (face === "v1") {
    const accept = "Accept: application/x-ndjson";
    return `GET /v1/watch?prefix=${encodeURIComponent(prefix)} HTTP/1.1\r\nHost: ${endpoint}\r\n${accept}\r\n\r\n`;
  }
  const body = JSON.stringify({ create_request: { key: btoa(prefix), range_end: btoa(endOf(prefix)) } });
  return `POST /v3/watch HTTP/1.1\r\nHost: ${endpoint}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}

function note(from: number, to: number): void {
  if (to > arrivals.length) {
    const wider = new Uint32Array(to * 2);
    wider.set(arrivals);
    arrivals = wider;
    const longer = new Float64Array(to * 2);
    longer.set(complete);
    complete = longer;
  }
  for (let event = from; event < to; event++) {
    const reached = (arrivals[event] ?? 0) + 1;
    arrivals[event] = reached;
    if (reached === count) complete[event] = nowMs();
  }
}

function fail(reason: string): void {
  failure ??= reason;
}

for (let at = 0; at < count; at++) {
  const endpoint = endpoints[at % endpoints.length] ?? "";
  const colon = endpoint.lastIndexOf(":");
  const counter = new EventCounter();
  counters.push(counter);
  await Bun.connect({
    hostname: endpoint.slice(0, colon),
    port: Number(endpoint.slice(colon + 1)),
    socket: {
      open: (socket) => {
        socket.write(requestText(endpoint));
      },
      data: (_, bytes) => {
        const before = counter.events;
        try {
          counter.take(bytes);
        } catch (error) {
          fail(String(error));
        }
        if (counter.events > before) note(before, counter.events);
      },
      close: () => fail(`a watch at ${endpoint} was closed`),
      error: (_, error) => fail(`a watch at ${endpoint}: ${error.message}`),
    },
  });
}

parentPort?.on("message", () => {
  const each = counters.map(({ events }) => events);
  const fewest = Math.min(...each);
  const view: WatchedView = {
    open: counters.filter(({ open }) => open).length,
    events: each.reduce((sum, events) => sum + events, 0),
    fewest,
    completeMs: complete.slice(0, fewest),
    ...(failure === undefined ? {} : { failure }),
  };
  parentPort?.postMessage(view);
});
