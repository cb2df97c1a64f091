import type { BareHttpServer, HttpServerOptions } from "./http.ts";
import { bareFailure, listenError } from "./http-errors.ts";

/** Above every body that the app reads; the app has limits of its own, with better words. */
const bodyBytesMax = 64 * 1024 * 1024;

export function serveOnBun(options: HttpServerOptions): BareHttpServer {
  const server = listen(options);
  let stopping = false;
  return {
    host: server.hostname ?? options.host,
    port: server.port ?? options.port,
    async stop(graceMs) {
      if (stopping) return server.stop(true);
      stopping = true;
      const cut = setTimeout(() => void server.stop(true), graceMs);
      await server.stop(false);
      clearTimeout(cut);
    },
  };
}

function listen(options: HttpServerOptions): Bun.Server<undefined> {
  try {
    return Bun.serve({
      hostname: options.host,
      port: options.port,
      // Seconds; 0 is never.
      idleTimeout: 0,
      maxRequestBodySize: bodyBytesMax,
      development: false,
      // Outside development Bun would share the port with any other process that asks for it.
      reusePort: false,
      fetch: options.fetch,
      error(error) {
        options.onError(error);
        return bareFailure();
      },
    });
  } catch (error) {
    throw listenError(error, options);
  }
}
