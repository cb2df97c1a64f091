import { type BenchCluster, type Side, sides } from "./members.ts";

/** One of each system, made one after the other. */
export async function perSide<T>(make: (side: Side) => Promise<T>): Promise<Record<Side, T>> {
  const coracle = await make("coracle");
  return { coracle, etcd: await make("etcd") };
}

export function versionsOf(
  clusters: Readonly<Record<Side, Pick<BenchCluster, "version">>>,
): Record<Side, string> {
  return { coracle: clusters.coracle.version, etcd: clusters.etcd.version };
}

/** The sides in turn: the first to begin changes with each round. */
export function inTurn(round: number): readonly Side[] {
  return round % 2 === 0 ? sides : sides.toReversed();
}
