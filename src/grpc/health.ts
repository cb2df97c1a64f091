import { create } from "@bufbuild/protobuf";
import { EtcdError, grpcCodes } from "../etcd/error.ts";
import type { HandlersOf } from "../etcd/types.ts";
import {
  type Health,
  HealthCheckResponse_ServingStatus,
  HealthCheckResponseSchema,
} from "./gen/health_pb.ts";

export interface HealthOptions {
  /** Names of the services that are served here. */
  readonly services: ReadonlySet<string>;
  readonly ready: () => boolean;
  /** How often a watcher is told of a change. */
  readonly pollMs: number;
}

/** The standard health service: every service serves when the member is ready, as `/readyz` tells it. */
export function healthHandlers(options: HealthOptions): HandlersOf<typeof Health> {
  const { services, ready, pollMs } = options;
  const known = (service: string): boolean => service === "" || services.has(service);
  const status = () => {
    const { SERVING, NOT_SERVING } = HealthCheckResponse_ServingStatus;
    return ready() ? SERVING : NOT_SERVING;
  };
  return {
    async check({ service }) {
      if (!known(service)) throw new EtcdError(grpcCodes.notFound, "unknown service");
      return create(HealthCheckResponseSchema, { status: status() });
    },
    async *watch({ service }, { signal }) {
      let told: HealthCheckResponse_ServingStatus | undefined;
      while (!signal.aborted) {
        const now = known(service) ? status() : HealthCheckResponse_ServingStatus.SERVICE_UNKNOWN;
        if (now !== told) yield create(HealthCheckResponseSchema, { status: now });
        told = now;
        await pause(pollMs, signal);
      }
    },
  };
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener("abort", done, { once: true });
  });
}
