import { pause } from "../test/e2e/wait.ts";
import { keyPrefix } from "./faces.ts";
import { ask } from "./gateway.ts";
import type { BenchCluster } from "./members.ts";

/** 256 bytes. */
export const benchValue = "coracle carries 256 bytes here. ".repeat(8);

/** The keys of the benchmark by number. */
export function keyOf(index: number): string {
  return `${keyPrefix}${String(index).padStart(8, "0")}`;
}

const putsATransaction = 100;
const attemptsMax = 5;

/** Puts the keys of these numbers, a hundred a transaction, by the JSON gateway, which both systems have. */
export async function fillKeys(
  cluster: BenchCluster,
  from: number,
  to: number,
  value = benchValue,
): Promise<void> {
  const { endpoint } = await cluster.leader();
  const encoded = btoa(value);
  let next = from;
  const work = async (): Promise<void> => {
    while (next < to) {
      const first = next;
      next = Math.min(to, next + putsATransaction);
      const success = Array.from({ length: next - first }, (_, index) => ({
        request_put: { key: btoa(keyOf(first + index)), value: encoded },
      }));
      await untilDone(() => ask(endpoint, "/v3/kv/txn", { success }, 30_000));
    }
  };
  await Promise.all(Array.from({ length: 8 }, work));
}

/** A put may be made again: where one fails the fill goes on, as long as it does not always fail. */
async function untilDone(put: () => Promise<unknown>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await put();
      return;
    } catch (error) {
      if (attempt === attemptsMax) throw error;
      await pause(1_000);
    }
  }
}
