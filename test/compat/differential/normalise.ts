import type { Json } from "./steps.ts";

/** What makes two servers' answers comparable. */
export interface Frame {
  /** The revision before the seed's first. */
  readonly base: number;
  /** Of those events a watch is told here what is left of in etcd: it leaves out what was deleted. */
  readonly compacted: ReadonlySet<number>;
}

const revisionNames = new Set([
  "revision",
  "create_revision",
  "mod_revision",
  "compact_revision",
  "hash_revision",
  "rev",
]);
/** Ids of servers and clusters, and terms. */
const ownNames = new Set(["cluster_id", "member_id", "raft_term"]);
/** A lease whose id the server chose is above all that a seed chooses, but for the largest number. */
const chosenIdMin = 1_000_000;

/** Paths of which only the shape can be compared: sizes, addresses, hashes. */
const shapes = /\/(maintenance\/(status|hash|hashkv)|cluster\/member\/list)$/;

export function normalised(path: string, body: Json, frame: Frame): Json {
  if (shapes.test(path) && isObject(body) && !("code" in body)) {
    const { compact_revision: _, hash_revision: __, ...rest } = body;
    return shapeOf(rest);
  }
  const json = walk(body, frame);
  if (!isObject(json)) return json;
  if (path.endsWith("/timetolive")) return freshLease(json);
  if (path.endsWith("/leases") && Array.isArray(json.leases)) {
    const text = (item: Json): string => JSON.stringify(item);
    return { ...json, leases: [...json.leases].sort((a, b) => (text(a) < text(b) ? -1 : 1)) };
  }
  return json;
}

function isObject(json: Json): json is { readonly [name: string]: Json } {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}

function walk(json: Json, frame: Frame, name = ""): Json {
  if (Array.isArray(json)) return json.map((item: Json) => walk(item, frame));
  if (isObject(json)) {
    const entries = Object.entries(json).filter(([field]) => !ownNames.has(field));
    return Object.fromEntries(entries.map(([field, value]) => [field, walk(value, frame, field)]));
  }
  if (revisionNames.has(name)) return `revision ${Number(json) - frame.base}`;
  if ((name === "ID" || name === "lease") && Number(json) > chosenIdMin && Number(json) < 2 ** 63) {
    return "a lease";
  }
  if (name === "key" && typeof json === "string") return claimKey(json);
  return json;
}

/** The key of a lock or an election ends with its lease. */
function claimKey(base64: string): string {
  const text = Buffer.from(base64, "base64").toString("latin1");
  const claim = /^((?:lock|el)\d\/)[0-9a-f]{8,16}$/.exec(text);
  return claim === null ? base64 : `${claim[1]}a lease`;
}

/** What is left of a lease that was just granted or renewed; its keys in order. */
function freshLease(json: { readonly [name: string]: Json }): Json {
  const { TTL, grantedTTL, keys } = json;
  const fresh = grantedTTL !== undefined && Number(grantedTTL) - Number(TTL) < 20;
  return {
    ...json,
    ...(fresh ? { TTL: "fresh" } : {}),
    ...(Array.isArray(keys) ? { keys: keys.map(String).sort() } : {}),
  };
}

function shapeOf(json: Json): Json {
  if (Array.isArray(json)) return json.length === 0 ? [] : [shapeOf(json[0])];
  if (isObject(json)) {
    return Object.fromEntries(Object.entries(json).map(([name, value]) => [name, shapeOf(value)]));
  }
  return typeof json;
}

/** What a stream has told: control messages in their order, and each watch's events in theirs. */
export function streamView(messages: readonly Json[], frame: Frame): Json {
  const control: Json[] = [];
  const events = new Map<string, Json[]>();
  for (const raw of messages) {
    const message = walk(raw, frame);
    if (!isObject(message)) continue;
    const { header, events: told, fragment: _, ...rest } = message;
    if (told === undefined && isObject(message) && "kv" in message) {
      control.push(message.kv as Json);
      continue;
    }
    const id = String(message.watch_id ?? "0");
    if (Array.isArray(told)) {
      const readable = told.filter((event: Json) => !isCompacted(event, frame));
      events.set(id, [...(events.get(id) ?? []), ...readable]);
    }
    // At which revision a watch is cancelled, and how far all have come, is a matter of time.
    else if (message.created === true || message.canceled === true || message.watch_id === "-1") {
      const told = message.created === true && message.watch_id !== "-1" ? { header: header as Json } : {};
      control.push({ ...rest, ...told });
    } else if ("broken" in message || "error" in message) control.push(message);
  }
  const byId = [...events].filter(([, told]) => told.length > 0).sort(([a], [b]) => (a < b ? -1 : 1));
  return { control: sortedCancels(control), events: Object.fromEntries(byId) };
}

function isCompacted(event: Json, { base, compacted }: Frame): boolean {
  const kv = isObject(event) ? event.kv : undefined;
  if (kv === undefined || !isObject(kv)) return false;
  const revision = Number(String(kv.mod_revision).replace("revision ", ""));
  return compacted.has(base + revision);
}

/** Replies to requests come in their order; what the server cancels by itself comes at any time. */
function sortedCancels(control: readonly Json[]): Json {
  const byItself = (json: Json): boolean => isObject(json) && "compact_revision" in json;
  const text = (json: Json): string => JSON.stringify(json);
  return [
    ...control.filter((json) => !byItself(json)),
    ...control.filter(byItself).sort((a, b) => (text(a) < text(b) ? -1 : 1)),
  ];
}
