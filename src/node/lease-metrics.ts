import { Counter, Gauge, type Registry } from "prom-client";

/** What is counted of leases. */
export interface LeaseMetrics {
  /** Leases that this member ended as the leader, because their time was over. */
  expired(count: number): void;
  /** Renewals that this member answered as the leader. */
  renewed(count: number): void;
}

export const noLeaseMetrics: LeaseMetrics = { expired: () => {}, renewed: () => {} };

/** Registers the metrics of leases; `leases` tells how many there are. */
export function createLeaseMetrics(registry: Registry, leases: () => number): LeaseMetrics {
  const registers = [registry];
  new Gauge({
    name: "coracle_leases",
    help: "Leases that have not ended.",
    registers,
    collect() {
      this.set(leases());
    },
  });
  const expired = new Counter({
    name: "coracle_leases_expired_total",
    help: "Leases that this member ended as the leader, because they were not renewed in time.",
    registers,
  });
  const renewed = new Counter({
    name: "coracle_lease_keep_alives_total",
    help: "Renewals of leases that this member answered as the leader.",
    registers,
  });
  return { expired: (count) => expired.inc(count), renewed: (count) => renewed.inc(count) };
}
