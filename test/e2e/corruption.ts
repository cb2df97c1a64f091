import { cpSync, existsSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Random, seededRandom } from "../../src/base/prng.ts";
import { isClear } from "./bad-commands.ts";
import { Client, codeOf, keyPath } from "./client.ts";
import { Cluster, type Member } from "./cluster.ts";
import type { HttpResponse } from "./http.ts";
import { type Report, runScript } from "./report.ts";
import { caughtUp } from "./verify.ts";
import { pause, until } from "./wait.ts";

/**
 * Bits flip in the files of a member that was killed. When it starts again it says so and ends, or it
 * serves what was written: never anything else.
 */

const files = ["raft.db", "raft.db-wal", "state.db", "state.db-wal", "raft.mark", "state.mark"] as const;
type FileName = (typeof files)[number];

/** How a start with flipped bits ended. */
type Outcome = "refused" | "harmless" | "repaired" | "wrong";
const outcomes: readonly Outcome[] = ["refused", "harmless", "repaired", "wrong"];

interface Flip {
  readonly file: FileName;
  readonly at: readonly { readonly offset: number; readonly bit: number }[];
}

/** What clients wrote, now and at a revision of the past; `undefined` for a key that was deleted. */
interface Written {
  readonly now: ReadonlyMap<string, string | undefined>;
  readonly past: ReadonlyMap<string, string | undefined>;
  readonly pastRevision: number;
}

function options() {
  const { values } = parseArgs({
    options: {
      short: { type: "boolean", default: false },
      flips: { type: "string" },
      seed: { type: "string" },
    },
  });
  return {
    flips: Number(values.flips ?? (values.short ? 20 : 200)),
    seed: Number(values.seed ?? Date.now() % 2 ** 31),
  };
}

/** Keys of many sizes, written, written over, and deleted, so that all tables have many pages. */
async function write(cluster: Cluster, random: Random): Promise<Written> {
  const client = new Client(cluster.endpoints);
  const now = new Map<string, string | undefined>();
  let past: Written["past"] = new Map();
  let pastRevision = 0;
  const rounds = 900;
  for (let at = 1; at <= rounds; at++) {
    const key = `c/${random.below(350)}${"/long".repeat(random.below(12))}`;
    if (random.below(8) === 0) {
      await mustSucceed(client, "DELETE", key, undefined);
      now.set(key, undefined);
    } else {
      const value = `${at}:${"v".repeat(random.below(random.below(20) === 0 ? 9000 : 400))}`;
      await mustSucceed(client, "PUT", key, value);
      now.set(key, value);
    }
    if (at !== rounds / 2) continue;
    past = new Map(now);
    pastRevision = (await (await cluster.leader()).head()).revision;
  }
  client.close();
  return { now, past, pastRevision };
}

async function mustSucceed(client: Client, method: string, key: string, value: string | undefined) {
  const body = value === undefined ? {} : { body: Buffer.from(value) };
  const ended = await client.write({ method, path: keyPath(key), ...body });
  if (ended.outcome !== "acknowledged") throw new Error(`${method} ${key} ended ${ended.outcome}`);
}

/** Every other one near the beginning, where the headers and the roots of tables are. */
function chooseFlip(random: Random, sound: string, number: number): Flip {
  const present = files.filter(
    (name) => existsSync(join(sound, name)) && statSync(join(sound, name)).size > 0,
  );
  // The marks are small: most flips go where most bytes are.
  const large = present.filter((name) => !name.endsWith(".mark"));
  const among = number % 10 === 9 ? present : large;
  const file = among[number % among.length] as FileName;
  const { size } = statSync(join(sound, file));
  const end = random.below(4) === 0 ? Math.min(size, 4096) : size;
  const at = Array.from({ length: 1 + random.below(3) }, () => ({
    offset: random.below(end),
    bit: random.below(8),
  }));
  return { file, at };
}

function apply(folder: string, { file, at }: Flip): void {
  const bytes = readFileSync(join(folder, file));
  for (const { offset, bit } of at) bytes[offset] = (bytes[offset] as number) ^ (1 << bit);
  writeFileSync(join(folder, file), bytes);
}

interface Found {
  /** Answers that are not what was written. */
  readonly wrong: readonly string[];
  /** Answers that say that what is stored is damaged. */
  readonly damaged: number;
}

/** Reads every key from one member alone, as it is now and as it was, and lists them all. */
async function readAll(member: Member, written: Written): Promise<Found> {
  const questions: (readonly [string, string | undefined, string])[] = [];
  for (const [key, value] of written.now) questions.push([key, value, "consistency=serializable"]);
  const past = `consistency=serializable&revision=${written.pastRevision}`;
  for (const [key, value] of written.past) questions.push([key, value, past]);
  const wrong: string[] = [];
  let damaged = 0;
  const isDamaged = (response: HttpResponse): boolean =>
    response.status === 500 && codeOf(response) === "storage_damaged";
  const ask = async (): Promise<void> => {
    const client = new Client([member.endpoint]);
    for (let next = questions.pop(); next !== undefined; next = questions.pop()) {
      const [key, value, query] = next;
      const response = await client.request({ method: "GET", path: `${keyPath(key)}?${query}` });
      if (isDamaged(response)) damaged++;
      else if (value === undefined ? response.status !== 404 : response.body.toString() !== value)
        wrong.push(`${key} (${query}): ${response.status} ${codeOf(response).slice(0, 60)}`);
    }
    client.close();
  };
  await Promise.all(Array.from({ length: 8 }, ask));
  const client = new Client([member.endpoint]);
  const live = [...written.now.values()].filter((value) => value !== undefined).length;
  const counted = await client.request({ method: "GET", path: "/v1/kv?prefix=c/&count_only=true" });
  client.close();
  if (isDamaged(counted)) damaged++;
  else if (JSON.parse(counted.body.toString()).count !== live)
    wrong.push(`count: ${counted.body.toString()}`);
  return { wrong, damaged };
}

class Trial {
  readonly #cluster: Cluster;
  readonly #victim: Member;
  readonly #written: Written;
  readonly #sound: string;
  readonly reasons: string[] = [];

  constructor(cluster: Cluster, victim: Member, written: Written, sound: string) {
    this.#cluster = cluster;
    this.#victim = victim;
    this.#written = written;
    this.#sound = sound;
  }

  async run(flip: Flip): Promise<Outcome> {
    const { folder } = this.#victim.plan;
    rmSync(folder, { recursive: true, force: true });
    cpSync(this.#sound, folder, { recursive: true });
    apply(folder, flip);
    const victim = this.#victim;
    const before = victim.tail(1_000_000).length;
    victim.start();
    const ended = await until(
      "the member to serve, or to end",
      async () => {
        if (!victim.running) return "ended";
        const client = new Client([victim.endpoint]);
        const ready = await client.request({ method: "GET", path: "/readyz" }, 2000).catch(() => undefined);
        client.close();
        return ready?.status === 200 ? "serves" : undefined;
      },
      { timeoutMs: 20_000 },
    ).catch(() => "hangs");
    const printed = (): string => victim.tail(1_000_000).slice(before);
    try {
      if (ended === "hangs") return this.#wrong(`it neither serves nor ends:\n${printed()}`);
      if (ended === "ended") return this.#judgeEnd(flip, printed());
      await caughtUp(this.#cluster).catch(() => undefined);
      return await this.#judgeService(printed);
    } finally {
      if (victim.running) await victim.kill();
    }
  }

  #judgeEnd(flip: Flip, printed: string): Outcome {
    const { code } = this.#victim.process.exit ?? { code: null };
    // Flipped bits of a write-ahead log are told as damage of its database, too.
    const names = printed.includes(flip.file) || printed.includes(flip.file.replace(/-wal$|\.mark$/, ""));
    const clear = names && /--join|snapshot/.test(printed) && isClear(printed);
    if (code !== null && code !== 0 && clear) return "refused";
    return this.#wrong(`it ended with ${code} and said:\n${printed}`);
  }

  async #judgeService(printed: () => string): Promise<Outcome> {
    const found = await readAll(this.#victim, this.#written).catch((error: unknown) => error as Error);
    if (found instanceof Error) {
      if (this.#victim.running) return this.#wrong(`reads failed: ${found.message}`);
      return /state\.db|raft\.db/.test(printed()) ? "refused" : this.#wrong(`it ended:\n${printed()}`);
    }
    if (found.wrong.length > 0) return this.#wrong(found.wrong.slice(0, 3).join("; "));
    if (found.damaged > 0) return "refused";
    return /repaired|received a snapshot|Installed the snapshot/i.test(printed()) ? "repaired" : "harmless";
  }

  #wrong(reason: string): Outcome {
    this.reasons.push(reason);
    return "wrong";
  }
}

function printTable(table: ReadonlyMap<FileName, ReadonlyMap<Outcome, number>>): void {
  const row = (cells: readonly (string | number)[]): string =>
    cells.map((cell, at) => (at === 0 ? `${cell}`.padEnd(14) : `${cell}`.padStart(22))).join("");
  console.log("");
  console.log(row(["file", "flips", "refused with message", "harmless", "repaired", "wrong"]));
  for (const [file, counts] of table) {
    const numbers = outcomes.map((outcome) => counts.get(outcome) ?? 0);
    console.log(row([file, numbers.reduce((sum, count) => sum + count, 0), ...numbers]));
  }
  console.log("");
}

async function corrupt(report: Report): Promise<void> {
  const { flips, seed } = options();
  report.note(`seed ${seed}: replay with --seed ${seed} --flips ${flips}`);
  const random = seededRandom(seed);
  // A short log: what is cut from it must be in state.db.
  const flags = ["--log-entries-max", "300", "--log-tail-entries", "100"];
  const cluster = await Cluster.start({ label: "corruption", flags });
  report.onFailure(() => cluster.showLogs());
  const written = await write(cluster, random);
  await caughtUp(cluster);
  const leader = await cluster.leader();
  const victim = cluster.members.find((member) => member !== leader) as Member;
  await until("most of the state to move into state.db", () => {
    return statSync(join(victim.plan.folder, "state.db")).size > 200_000;
  });
  const now = new Map(written.now);
  const client = new Client(cluster.endpoints);
  let late = 0;
  const writeLate = async (count: number): Promise<void> => {
    for (let at = 0; at < count; at++) {
      const key = `c/late-${++late}`;
      await mustSucceed(client, "PUT", key, `late ${late}`);
      now.set(key, `late ${late}`);
    }
  };
  // A page that is in the write-ahead log, too, is not read from the database.
  const wal = join(victim.plan.folder, "state.db-wal");
  const salts = (): string => readFileSync(wal).toString("hex", 16, 24);
  const before = salts();
  // It begins anew with the first write after a checkpoint that moved all of it: one while nobody writes.
  await until(
    "state.db-wal to begin anew",
    async () => {
      await writeLate(150);
      await pause(1200);
      await writeLate(1);
      await pause(100);
      return salts() !== before;
    },
    { timeoutMs: 60_000 },
  );
  // A start moves what raft.db-wal holds into raft.db.
  await victim.terminate();
  victim.start();
  await victim.ready();
  // Then killed after some more writes, so that both write-ahead logs hold something as well.
  await writeLate(30);
  client.close();
  await caughtUp(cluster);
  await victim.kill();
  const sound = join(cluster.folder, "sound");
  cpSync(victim.plan.folder, sound, { recursive: true });

  const table = new Map<FileName, Map<Outcome, number>>();
  const trial = new Trial(cluster, victim, { ...written, now }, sound);
  for (let number = 0; number < flips; number++) {
    const flip = chooseFlip(random, sound, number);
    const outcome = await trial.run(flip);
    const counts = table.get(flip.file) ?? new Map<Outcome, number>();
    counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
    table.set(flip.file, counts);
    if (outcome === "wrong") {
      const where = flip.at.map(({ offset, bit }) => `${offset}.${bit}`).join(", ");
      report.check(false, `flip ${number} in ${flip.file} at ${where}`, trial.reasons.at(-1) ?? "");
    }
  }
  printTable(table);
  const sum = (outcome: Outcome): number =>
    [...table.values()].reduce((all, counts) => all + (counts.get(outcome) ?? 0), 0);
  report.check(
    sum("wrong") === 0,
    `${flips} starts with flipped bits: never a wrong value, always a clear message`,
  );
  report.check(sum("refused") > 0, "flipped bits are found", `${sum("refused")} of ${flips}`);
  await cluster.stop();
}

await runScript(corrupt);
