import type { BareHttpServer, HttpServerOptions } from "./http.ts";
import { bareFailure, listenError } from "./http-errors.ts";

/** The part of Deno's API that is used here (https://docs.deno.com/api/deno/~/Deno.serve). */
interface DenoServe {
  serve(
    options: {
      readonly hostname: string;
      readonly port: number;
      readonly onListen: () => void;
      readonly onError: (error: unknown) => Response;
    },
    handler: (request: Request) => Response | Promise<Response>,
  ): {
    readonly addr: { readonly hostname: string; readonly port: number };
    shutdown(): Promise<void>;
  };
}
declare const Deno: DenoServe;

export function serveOnDeno(options: HttpServerOptions): BareHttpServer {
  const server = listen(options);
  return {
    host: server.addr.hostname,
    port: server.addr.port,
    close: () => server.shutdown(),
    // Deno cannot cut connections of a server that is shutting down: the end of the process does.
    cut: () => {},
  };
}

function listen(options: HttpServerOptions): ReturnType<DenoServe["serve"]> {
  const onError = (error: unknown): Response => {
    options.onError(error);
    return bareFailure();
  };
  try {
    const where = { hostname: options.host, port: options.port };
    return Deno.serve({ ...where, onListen: () => {}, onError }, options.fetch);
  } catch (error) {
    throw listenError(error, options);
  }
}
