import type { Context } from "hono";
import type { Clock } from "../base/clock.ts";
import type { ElectionService, LockService } from "../concurrency/types.ts";
import type { Service } from "../service/service.ts";

/** What the routes work with. */
export interface ApiContext {
  readonly service: Service;
  readonly locks: LockService;
  readonly elections: ElectionService;
  readonly valueBytesMax: number;
  readonly clock: Clock;
  /** Aborts when the member begins to stop: what waits or streams ends. */
  readonly stopping: AbortSignal;
}

/** Answers a request; throws a `CoracleError` for whatever the client must know of. */
export type Handler = (c: Context) => Response | Promise<Response>;
