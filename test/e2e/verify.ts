import { Client, codeOf, keyPath } from "./client.ts";
import type { Cluster, Member } from "./cluster.ts";
import { until } from "./wait.ts";

export type Mode = "linearizable" | "serializable";

export interface Verdict {
  readonly checked: number;
  /** Keys that are missing or hold other bytes, with what was found; the first few. */
  readonly examples: readonly string[];
  readonly wrong: number;
}

/** Reads keys through one member and compares byte for byte. `mayBeAbsent`: for writes whose outcome is unknown. */
export async function verify(
  member: Pick<Member, "name" | "endpoint">,
  expected: Iterable<readonly [string, Buffer]>,
  mode: Mode,
  options: { readonly mayBeAbsent?: boolean } = {},
): Promise<Verdict> {
  const entries = expected[Symbol.iterator]();
  const examples: string[] = [];
  let checked = 0;
  let wrong = 0;
  const read = async (): Promise<void> => {
    const client = new Client([member.endpoint]);
    for (let entry = entries.next(); !entry.done; entry = entries.next()) {
      const [key, value] = entry.value;
      const response = await client.read(`${keyPath(key)}?consistency=${mode}`);
      checked++;
      if (response.status === 404 && options.mayBeAbsent === true) continue;
      if (response.status === 200 && response.body.equals(value)) continue;
      wrong++;
      if (examples.length < 3)
        examples.push(`${key}: ${response.status}, ${response.body.length} bytes instead of ${value.length}`);
    }
    client.close();
  };
  await Promise.all(Array.from({ length: 16 }, read));
  return { checked, wrong, examples };
}

/** Waits until every running member has applied what any of them has applied now. */
export async function caughtUp(cluster: Cluster, timeoutMs = 30_000): Promise<void> {
  const heads = await Promise.all(cluster.running.map((member) => member.head()));
  const target = Math.max(...heads.map((head) => head.appliedIndex));
  await until(
    `every member at applied index ${target}`,
    async () => {
      const now = await Promise.all(cluster.running.map((member) => member.head()));
      return now.every((head) => head.appliedIndex >= target);
    },
    { timeoutMs },
  );
}

interface Page {
  readonly more: boolean;
  readonly cursor?: string;
  readonly keys: readonly { readonly key: string; readonly value_base64: string }[];
}

/** Lists every key under a prefix through one member, page by page, and compares with what is expected. */
export async function verifyListing(
  member: Pick<Member, "name" | "endpoint">,
  prefix: string,
  expected: ReadonlyMap<string, Buffer>,
): Promise<Verdict> {
  const client = new Client([member.endpoint]);
  const examples: string[] = [];
  let checked = 0;
  let wrong = 0;
  let query = `prefix=${encodeURIComponent(prefix)}`;
  while (true) {
    const response = await client.read(`/v1/kv?${query}`, { headers: { Accept: "application/json" } });
    if (response.status !== 200)
      throw new Error(`listing ${prefix} of ${member.name}: ${response.status} ${codeOf(response)}`);
    const page = JSON.parse(response.body.toString()) as Page;
    for (const { key, value_base64 } of page.keys) {
      checked++;
      if (expected.get(key)?.equals(Buffer.from(value_base64, "base64")) === true) continue;
      wrong++;
      if (examples.length < 3) examples.push(`${key} differs or was never written`);
    }
    if (!page.more || page.cursor === undefined) break;
    query = `cursor=${encodeURIComponent(page.cursor)}`;
  }
  client.close();
  if (checked !== expected.size) {
    wrong += Math.abs(expected.size - checked);
    examples.push(`${checked} keys listed, ${expected.size} written`);
  }
  return { checked, wrong, examples };
}
