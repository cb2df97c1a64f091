import { HttpDrain } from "./http-drain.ts";
import { onBun } from "./which.ts";

export interface HttpServerOptions {
  readonly host: string;
  /** 0 lets the system choose one. */
  readonly port: number;
  readonly fetch: (request: Request) => Response | Promise<Response>;
  /** Something thrown by `fetch`, which an app that maps its own errors never does. It answers 500. */
  readonly onError: (error: unknown) => void;
}

export interface HttpServer {
  readonly host: string;
  readonly port: number;
  /** From now on each answer ends its connection, so that `stop` finds none in use. */
  beginStop(): void;
  /**
   * Waits until no request comes any more. Then takes no new connections, closes idle ones, and lets answers in flight finish. Resolves when
   * every connection is closed, or after `graceMs`: what is left is then cut, at the latest by the
   * end of the process.
   */
  stop(graceMs: number): Promise<void>;
}

/** What each runtime brings. */
export type BareHttpServer = Omit<HttpServer, "beginStop">;

const serve: (options: HttpServerOptions) => BareHttpServer = onBun
  ? (await import("./http-bun.ts")).serveOnBun
  : (await import("./http-deno.ts")).serveOnDeno;

/**
 * Serves HTTP/1.1. No connection is closed for being idle: streams may be silent for long.
 *
 * @throws CoracleError config_invalid when the address cannot be listened on.
 */
export async function serveHttp(options: HttpServerOptions): Promise<HttpServer> {
  const drain = new HttpDrain(options.fetch);
  const server = serve({ ...options, fetch: drain.fetch });
  let stopping = false;
  return {
    host: server.host,
    port: server.port,
    beginStop: () => drain.begin(),
    async stop(graceMs) {
      if (!stopping) {
        stopping = true;
        drain.begin();
        await drain.quiet(graceMs);
      }
      await server.stop(graceMs);
    },
  };
}
