import type { Service } from "../api/service.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import { Elections } from "../concurrency/elections.ts";
import { Locks } from "../concurrency/locks.ts";
import type { ElectionService, LockService } from "../concurrency/types.ts";
import { authHandlers } from "./auth.ts";
import { clusterHandlers } from "./cluster.ts";
import { electionHandlers } from "./election.ts";
import { kvHandlers } from "./kv.ts";
import { leaseHandlers } from "./lease.ts";
import { lockHandlers } from "./lock.ts";
import { maintenanceHandlers } from "./maintenance.ts";
import { etcdErrorOf, recipeErrorOf, refusal } from "./refusals.ts";
import type { EtcdContext, EtcdServices } from "./types.ts";
import { watchHandlers } from "./watch.ts";

/** How often an idle watch that asked for it is told its progress; etcd's. */
const progressMsDefault = 10 * 60 * 1000;

export interface EtcdServicesOptions {
  readonly clock?: Clock;
  readonly locks?: LockService;
  readonly elections?: ElectionService;
  readonly progressMs?: number;
}

/** etcd's services over a member: what the gRPC server and the JSON gateway both serve. They throw `EtcdError`. */
export function createEtcdServices(service: Service, options: EtcdServicesOptions = {}): EtcdServices {
  const { clock = systemClock, progressMs = progressMsDefault } = options;
  const { kv, leases, watches } = service;
  const concurrency = { kv, leases, watches, clock };
  const locks = options.locks ?? new Locks(concurrency);
  const elections = options.elections ?? new Elections(concurrency);
  const inEtcdWords = <H extends object>(handlers: H): H => translated(handlers, service, etcdErrorOf);
  const asRecipe = <H extends object>(handlers: H): H => translated(handlers, service, recipeErrorOf);
  return {
    kv: inEtcdWords(kvHandlers(service)),
    watch: inEtcdWords(watchHandlers(service, clock, progressMs)),
    lease: inEtcdWords(leaseHandlers(service)),
    cluster: inEtcdWords(clusterHandlers(service)),
    maintenance: inEtcdWords(maintenanceHandlers(service)),
    auth: inEtcdWords(authHandlers(service)),
    lock: asRecipe(lockHandlers(service, locks)),
    election: asRecipe(electionHandlers(service, elections)),
  };
}

type AnyHandler = (request: unknown, context: EtcdContext) => Promise<unknown> | AsyncIterable<unknown>;

/** The same handlers, which throw etcd's errors, and refuse what needs a leader while there is none. */
function translated<H extends object>(
  handlers: H,
  { cluster }: Service,
  errorOf: (thrown: unknown) => unknown,
): H {
  const leaderMissing = ({ requireLeader }: EtcdContext): boolean =>
    requireLeader && cluster.head().leaderId === 0;
  const translate = (handler: AnyHandler): AnyHandler => {
    if (isStream(handler)) {
      return async function* (request, context) {
        if (leaderMissing(context)) throw refusal("noLeader");
        try {
          yield* handler(request, context);
        } catch (error) {
          throw errorOf(error);
        }
      };
    }
    return async (request, context) => {
      if (leaderMissing(context)) throw refusal("noLeader");
      try {
        return await handler(request, context);
      } catch (error) {
        throw errorOf(error);
      }
    };
  };
  const entries = Object.entries(handlers).map(([name, handler]) => [name, translate(handler)] as const);
  // The same names with functions of the same types: `fromEntries` cannot tell.
  return Object.fromEntries(entries) as H;
}

const streamPrototype = Object.getPrototypeOf(async function* () {});

function isStream(
  handler: AnyHandler,
): handler is (request: unknown, context: EtcdContext) => AsyncIterable<unknown> {
  return Object.getPrototypeOf(handler) === streamPrototype;
}
