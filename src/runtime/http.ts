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
   * Takes no new connections, closes idle ones, and lets answers in flight finish. Resolves when
   * every connection is closed, or after `graceMs`: what is left is then cut, at the latest by the
   * end of the process.
   */
  stop(graceMs: number): Promise<void>;
}

const serve: (options: HttpServerOptions) => HttpServer = onBun
  ? (await import("./http-bun.ts")).serveOnBun
  : (await import("./http-deno.ts")).serveOnDeno;

/**
 * Serves HTTP/1.1. No connection is closed for being idle: streams may be silent for long.
 *
 * @throws CoracleError config_invalid when the address cannot be listened on.
 */
export async function serveHttp(options: HttpServerOptions): Promise<HttpServer> {
  return serve(options);
}
