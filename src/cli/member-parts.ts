import type { Registry } from "prom-client";
import { present } from "../base/assert.ts";
import { createLeaseMetrics } from "../node/lease-metrics.ts";
import { Leases } from "../node/leases.ts";
import type { NodePartFactory } from "../node/part.ts";
import type { LeaseService, Service } from "../service/service.ts";
import type { WatchHub } from "../watch/hub.ts";
import { createWatchHub } from "./member-watches.ts";

/** The parts of a member that serve its clients beside reads and writes. The node creates them. */
export class MemberParts {
  #leases: LeaseService | undefined;
  #watches: WatchHub | undefined;
  /** For the node's dependencies. */
  readonly factories: readonly NodePartFactory[];

  constructor(registry: Registry, onFatal: (error: unknown) => void) {
    this.factories = [
      (node) => {
        const metrics = createLeaseMetrics(registry, () => node.state().leases.count);
        const leases = new Leases(node, { metrics, onFatal });
        this.#leases = leases;
        return leases;
      },
      (node) => {
        this.#watches = createWatchHub(node, registry, onFatal);
        return this.#watches;
      },
    ];
  }

  /** What the faces get of them, once the node is there. */
  get services(): Pick<Service, "leases" | "watches"> {
    return {
      leases: present(this.#leases, "the part that keeps leases"),
      watches: present(this.#watches, "the hub of watches"),
    };
  }
}
