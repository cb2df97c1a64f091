import { createHash } from "node:crypto";
import {
  closeSync,
  cpSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { basename, join } from "node:path";
import { isClear } from "./bad-commands.ts";
import { Client } from "./client.ts";
import { Cluster } from "./cluster.ts";
import { freePorts } from "./ports.ts";
import type { Report } from "./report.ts";
import { until } from "./wait.ts";

/** Damage to a stopped member's file. */
interface Damage {
  readonly what: string;
  readonly file: "raft.db" | "state.db";
  readonly apply: (path: string) => void;
}

function overwrite(path: string, offset: number, bytes: Buffer): void {
  const file = openSync(path, "r+");
  writeSync(file, bytes, 0, bytes.length, offset);
  closeSync(file);
}

const flippedValue = "marker-of-value-100 ";
const noise = Buffer.from(Array.from({ length: 512 }, (_, i) => (i * 89 + 41) % 256));

/** Flips one bit of a value wherever the file holds it: pages that are no longer used may hold a copy. */
function flipInValue(path: string): void {
  const bytes = readFileSync(path);
  let places = 0;
  for (let at = bytes.indexOf(flippedValue); at >= 0; at = bytes.indexOf(flippedValue, at + 1)) {
    overwrite(path, at + 3, Buffer.from([(bytes[at + 3] ?? 0) ^ 1]));
    places++;
  }
  if (places === 0) throw new Error(`${path} holds no value to damage`);
}

const damages: readonly Damage[] = [
  { what: "noise in place of the header", file: "raft.db", apply: (path) => overwrite(path, 0, noise) },
  { what: "noise in place of the header", file: "state.db", apply: (path) => overwrite(path, 0, noise) },
  {
    what: "a file cut in half",
    file: "raft.db",
    apply: (path) => truncateSync(path, Math.floor(statSync(path).size / 2)),
  },
  {
    what: "a file cut in half",
    file: "state.db",
    apply: (path) => truncateSync(path, Math.floor(statSync(path).size / 2)),
  },
  { what: "an empty file", file: "raft.db", apply: (path) => writeFileSync(path, "") },
  { what: "an empty file", file: "state.db", apply: (path) => writeFileSync(path, "") },
  { what: "a missing file", file: "raft.db", apply: (path) => rmSync(path) },
  { what: "a missing file", file: "state.db", apply: (path) => rmSync(path) },
  { what: "one flipped bit in an entry", file: "raft.db", apply: flipInValue },
];

/** Digests of the files that hold data, by name. Locks, SQLite's shared memory and empty files are none. */
function digests(folder: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of readdirSync(folder).sort()) {
    if (!/\.db(-wal)?$/.test(name) || statSync(join(folder, name)).size === 0) continue;
    found[name] = createHash("sha256")
      .update(readFileSync(join(folder, name)))
      .digest("hex");
  }
  return found;
}

export async function damagedFiles(report: Report): Promise<void> {
  const cluster = new Cluster({ label: "damage" });
  const [clientPort = 0, peerPort = 0] = await freePorts(2);
  const member = cluster.add("lone", clientPort, peerPort, []);
  const { folder } = member.plan;
  member.start();
  await member.ready();
  const client = new Client([member.endpoint]);
  for (let i = 0; i < 200; i++) {
    const ended = await client.put(`key-${i}`, Buffer.from(`marker-of-value-${i} `.padEnd(300, "x")));
    if (ended.outcome !== "acknowledged") throw new Error(`a put ended ${ended.outcome}: ${ended.reason}`);
  }
  client.close();
  await member.terminate();
  const sound = join(cluster.folder, "sound");
  cpSync(folder, sound, { recursive: true });

  for (const { what, file, apply } of damages) {
    rmSync(folder, { recursive: true, force: true });
    cpSync(sound, folder, { recursive: true });
    const path = join(folder, file);
    apply(path);
    const before = digests(folder);
    const logged = member.process.tail(1000).length;
    member.start();
    const { process } = member;
    const ended = await until("the end of a member with damaged files", () => !process.running, {
      timeoutMs: 10_000,
    }).catch(() => false);
    const code = process.exit?.code ?? null;
    await process.stop("SIGKILL");
    const last = process.tail(1000).slice(logged);
    const refused = ended && code !== null && code !== 0 && last.includes(basename(path)) && isClear(last);
    report.check(
      refused,
      `${what} (${file}): ends with exit code ${code} and names the file`,
      refused ? "" : last,
    );
    report.equal(digests(folder), before, `${what} (${file}): the files are as before, byte for byte`);
  }
  rmSync(folder, { recursive: true, force: true });
  cpSync(sound, folder, { recursive: true });
  member.start();
  await member.ready();
  report.check(true, "the undamaged copy starts");
  await cluster.stop();
}
