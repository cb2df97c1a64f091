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
  /**
   * Stops listening: requests that come from now on are refused, unproposed, on an answer that ends
   * their connection. When none comes any more, after about 2 s at the latest, new connections are
   * refused and idle ones closed. Resolves then; answers in flight go on.
   */
  beginStop(): Promise<void>;
  /**
   * After `beginStop`, lets answers in flight finish. Resolves when every connection is closed, or
   * after `graceMs`: what is left is then cut, at the latest by the end of the process.
   */
  stop(graceMs: number): Promise<void>;
}

/** What each runtime brings. */
export interface BareHttpServer {
  readonly host: string;
  readonly port: number;
  /** Takes no new connections and closes idle ones. Resolves when every answer in flight is given. */
  close(): Promise<void>;
  /** Closes every connection, where the runtime can. */
  cut(): void;
}

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
  /** Of the runtime's server, once it is told to close. */
  let begun: Promise<{ readonly closed: Promise<void> }> | undefined;
  const begin = (): Promise<{ readonly closed: Promise<void> }> => {
    begun ??= drain.begin().then(() => ({ closed: server.close() }));
    return begun;
  };
  return {
    host: server.host,
    port: server.port,
    async beginStop() {
      await begin();
    },
    async stop(graceMs) {
      const { closed } = await begin();
      let timer: ReturnType<typeof setTimeout> | undefined;
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(() => {
          server.cut();
          resolve();
        }, graceMs);
      });
      await Promise.race([closed, late]);
      clearTimeout(timer);
    },
  };
}
