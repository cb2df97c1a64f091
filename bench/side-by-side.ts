import { BenchCluster, type Side, sides } from "./members.ts";

/** One of each system, made one after the other. What was started first does not outlive a failure of the second. */
export async function perSide<T>(make: (side: Side) => Promise<T>): Promise<Record<Side, T>> {
  const coracle = await make("coracle");
  try {
    return { coracle, etcd: await make("etcd") };
  } catch (error) {
    await endIfRunning(coracle);
    throw error;
  }
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

async function endIfRunning(made: unknown): Promise<void> {
  if (made instanceof BenchCluster) await made.stop();
}
