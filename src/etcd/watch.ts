import type { Clock } from "../base/clock.ts";
import type { Service } from "../service/service.ts";
import type { Watch } from "./gen/watch_pb.ts";
import type { HandlersOf } from "./types.ts";
import { WatchStream } from "./watch-stream.ts";

/** Watches: many on one stream, which ends with the client or the member only. */
export function watchHandlers(service: Service, clock: Clock, progressMs: number): HandlersOf<typeof Watch> {
  return {
    async *watch(requests, { signal, requireLeader }) {
      const stream = new WatchStream({ service, clock, progressMs, requireLeader });
      const close = (): void => stream.close();
      if (signal.aborted) close();
      signal.addEventListener("abort", close, { once: true });
      try {
        void stream.read(requests);
        yield* stream.send();
      } finally {
        signal.removeEventListener("abort", close);
        close();
      }
    },
  };
}
