/** Requests of etcd's JSON gateway, which both systems serve. For what is asked once, not for a load. */

/** @throws Error when the answer is not 2xx, or none comes in time. */
export async function ask<T>(
  endpoint: string,
  path: string,
  body: object = {},
  timeoutMs = 5_000,
): Promise<T> {
  const response = await fetch(`http://${endpoint}${path}`, {
    method: "POST",
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(timeoutMs),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${endpoint}${path}: ${response.status} ${text}`);
  return JSON.parse(text) as T;
}

interface Header {
  readonly member_id: string;
  readonly revision?: string;
}

export interface StatusView {
  readonly memberId: string;
  /** "0" when none is known. */
  readonly leaderId: string;
  readonly revision: number;
}

export async function statusOf(endpoint: string): Promise<StatusView> {
  const { header, leader = "0" } = await ask<{ header: Header; leader?: string }>(
    endpoint,
    "/v3/maintenance/status",
    {},
    2_000,
  );
  return { memberId: header.member_id, leaderId: leader, revision: Number(header.revision ?? 0) };
}

/** How many keys begin with the prefix, as this member has it now. */
export async function countKeys(endpoint: string, prefix: string): Promise<number> {
  const answer = await ask<{ count?: string }>(
    endpoint,
    "/v3/kv/range",
    { key: btoa(prefix), range_end: btoa(endOf(prefix)), count_only: true, serializable: true },
    30_000,
  );
  return Number(answer.count ?? 0);
}

/** The first key behind all that begin with the prefix; for prefixes of ASCII. */
export function endOf(prefix: string): string {
  return prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1);
}

/** A linearizable read: throws as long as the member does not serve. */
export async function serves(endpoint: string): Promise<true> {
  await ask(endpoint, "/v3/kv/range", { key: btoa("?") }, 2_000);
  return true;
}
