import type { Context } from "hono";
import type { Service } from "./service.ts";

/** What the routes work with. */
export interface ApiContext {
  readonly service: Service;
  readonly valueBytesMax: number;
}

/** Answers a request; throws a `CoracleError` for whatever the client must know of. */
export type Handler = (c: Context) => Response | Promise<Response>;
