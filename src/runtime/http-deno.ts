import type { HttpServer, HttpServerOptions } from "./http.ts";
import { bareFailure, listenError } from "./http-errors.ts";

/** The part of Deno's API that is used here (https://docs.deno.com/api/deno/~/Deno.serve). */
interface DenoServe {
  serve(
    options: {
      readonly hostname: string;
      readonly port: number;
      readonly signal: AbortSignal;
      readonly onListen: () => void;
      readonly onError: (error: unknown) => Response;
    },
    handler: (request: Request) => Response | Promise<Response>,
  ): {
    readonly addr: { readonly hostname: string; readonly port: number };
    readonly finished: Promise<void>;
    shutdown(): Promise<void>;
  };
}
declare const Deno: DenoServe;

export function serveOnDeno(options: HttpServerOptions): HttpServer {
  const cutter = new AbortController();
  const server = listen(options, cutter.signal);
  let stopping = false;
  return {
    host: server.addr.hostname,
    port: server.addr.port,
    async stop(graceMs) {
      if (stopping) {
        cutter.abort();
        return server.finished;
      }
      stopping = true;
      const cut = setTimeout(() => cutter.abort(), graceMs);
      await Promise.race([server.shutdown(), server.finished]);
      clearTimeout(cut);
    },
  };
}

function listen(options: HttpServerOptions, signal: AbortSignal): ReturnType<DenoServe["serve"]> {
  const onError = (error: unknown): Response => {
    options.onError(error);
    return bareFailure();
  };
  try {
    const where = { hostname: options.host, port: options.port };
    return Deno.serve({ ...where, signal, onListen: () => {}, onError }, options.fetch);
  } catch (error) {
    throw listenError(error, options);
  }
}
