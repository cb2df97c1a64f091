import type { DescService } from "@bufbuild/protobuf";
import { type Clock, systemClock } from "../base/clock.ts";
import { Elections } from "../concurrency/elections.ts";
import { Locks } from "../concurrency/locks.ts";
import type { ElectionService, LockService } from "../concurrency/types.ts";
import type { Service } from "../service/service.ts";
import { authHandlers } from "./auth.ts";
import { clusterHandlers } from "./cluster.ts";
import { electionHandlers } from "./election.ts";
import { Auth } from "./gen/auth_pb.ts";
import { Cluster } from "./gen/cluster_pb.ts";
import { Election } from "./gen/election_pb.ts";
import { KV } from "./gen/kv_pb.ts";
import { Lease } from "./gen/lease_pb.ts";
import { Lock } from "./gen/lock_pb.ts";
import { Maintenance } from "./gen/maintenance_pb.ts";
import { Watch } from "./gen/watch_pb.ts";
import { kvHandlers } from "./kv.ts";
import { leaseHandlers } from "./lease.ts";
import { lockHandlers } from "./lock.ts";
import { maintenanceHandlers } from "./maintenance.ts";
import { etcdErrorOf, recipeErrorOf, refusal } from "./refusals.ts";
import type { EtcdContext, EtcdServices, HandlersOf } from "./types.ts";
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
  const inEtcdWords = <S extends DescService>(schema: S, handlers: HandlersOf<S>): HandlersOf<S> =>
    translated(schema, handlers, service, etcdErrorOf);
  const asRecipe = <S extends DescService>(schema: S, handlers: HandlersOf<S>): HandlersOf<S> =>
    translated(schema, handlers, service, recipeErrorOf);
  return {
    kv: inEtcdWords(KV, kvHandlers(service)),
    watch: inEtcdWords(Watch, watchHandlers(service, clock, progressMs)),
    lease: inEtcdWords(Lease, leaseHandlers(service)),
    cluster: inEtcdWords(Cluster, clusterHandlers(service)),
    maintenance: inEtcdWords(Maintenance, maintenanceHandlers(service)),
    auth: inEtcdWords(Auth, authHandlers(service)),
    lock: asRecipe(Lock, lockHandlers(service, locks)),
    election: asRecipe(Election, electionHandlers(service, elections)),
  };
}

type Unary = (request: unknown, context: EtcdContext) => Promise<unknown>;
type Stream = (request: unknown, context: EtcdContext) => AsyncIterable<unknown>;

/** The same handlers, which throw etcd's errors, and refuse what needs a leader while there is none. */
function translated<S extends DescService>(
  schema: S,
  handlers: HandlersOf<S>,
  { cluster }: Service,
  errorOf: (thrown: unknown) => unknown,
): HandlersOf<S> {
  const checkLeader = ({ requireLeader }: EtcdContext): void => {
    if (requireLeader && cluster.head().leaderId === 0) throw refusal("noLeader");
  };
  const unary = (handler: Unary): Unary => {
    return async (request, context) => {
      checkLeader(context);
      try {
        return await handler(request, context);
      } catch (error) {
        throw errorOf(error);
      }
    };
  };
  const stream = (handler: Stream): Stream => {
    return async function* (request, context) {
      checkLeader(context);
      try {
        yield* handler(request, context);
      } catch (error) {
        throw errorOf(error);
      }
    };
  };
  const entries = schema.methods.map(({ localName, methodKind }) => {
    const handler: unknown = Reflect.get(handlers, localName);
    return [localName, methodKind === "unary" ? unary(handler as Unary) : stream(handler as Stream)] as const;
  });
  // The same names with functions of the same kinds: `fromEntries` cannot tell.
  return Object.fromEntries(entries) as HandlersOf<S>;
}
