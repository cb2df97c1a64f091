import type { BareHttpServer, HttpServerOptions } from "./http.ts";
import { bareFailure, listenError } from "./http-errors.ts";

/** Above every body that the app reads; the app has limits of its own, with better words. */
const bodyBytesMax = 64 * 1024 * 1024;

export function serveOnBun(options: HttpServerOptions): BareHttpServer {
  const server = listen(options);
  return {
    host: server.hostname ?? options.host,
    port: server.port ?? options.port,
    close: () => server.stop(false),
    cut: () => void server.stop(true),
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
