import { compare } from "./compare.ts";
import { differences } from "./differences.ts";
import { generate } from "./generate.ts";
import { describeStep, type Step } from "./steps.ts";
import {
  etcdInstalled,
  type FaceName,
  passNamedRevisions,
  startCoracle,
  startEtcd,
  type Target,
} from "./targets.ts";

/**
 * The same random requests to etcd and to coracle, of one member and of three, by gateway and by gRPC.
 *
 *     npm run compat -- [--seeds 1..1000] [--face gateway|grpc] [--members 1|3] [--rotate]
 *
 * With `--rotate` each seed runs once, by one protocol against one of the clusters in turn. SHRINK=off
 * leaves the shortening of a failed sequence out.
 */

/** Then it is no use to go on. */
const failuresMax = 10;

interface Options {
  readonly first: number;
  readonly last: number;
  readonly faces: readonly FaceName[];
  readonly members: readonly number[];
  readonly rotate: boolean;
}

function optionsOf(args: readonly string[]): Options {
  const value = (name: string): string | undefined => {
    const index = args.indexOf(name);
    return index < 0 ? undefined : args[index + 1];
  };
  const range = /^(\d+)(?:\.\.(\d+))?$/.exec(value("--seeds") ?? "1..1000");
  if (range === null) throw new Error("--seeds takes a range such as 1..1000, or one seed");
  const face = value("--face");
  const members = value("--members");
  return {
    first: Number(range[1]),
    last: Number(range[2] ?? range[1]),
    faces: face === undefined ? ["gateway", "grpc"] : [face as FaceName],
    members: members === undefined ? [1, 3] : [Number(members)],
    rotate: args.includes("--rotate"),
  };
}

/** Leaves steps out as long as what is left is still answered differently. */
async function shrink(
  steps: readonly Step[],
  fails: (steps: readonly Step[]) => Promise<boolean>,
): Promise<Step[]> {
  let smallest = [...steps];
  for (let size = Math.ceil(steps.length / 2); size >= 1; size = Math.floor(size / 2)) {
    for (let start = 0; start < smallest.length; ) {
      const without = smallest.toSpliced(start, size);
      // Steps that name an answer by its place would name another.
      if (!without.some(namesAnswer) && (await fails(without).catch(() => false))) smallest = without;
      else start += size;
    }
  }
  return smallest;
}

function namesAnswer(step: Step): boolean {
  return JSON.stringify(step).includes('"$answer"');
}

async function check(
  seed: number,
  face: FaceName,
  etcd: Target,
  coracle: Target,
  tally: Tally,
): Promise<boolean> {
  const steps = generate(seed);
  const { wrong, compared, meant } = await compare(steps, face, etcd, coracle);
  tally.compared += compared;
  for (const { name } of meant) tally.meant.set(name, (tally.meant.get(name) ?? 0) + 1);
  if (wrong === undefined) return true;
  console.log(`FAIL seed ${seed} (${coracle.name}, ${face})\n  ${wrong}`);
  if (process.env.SHRINK === "off") return false;
  const smallest = await shrink(steps, async (fewer) => {
    return (await compare(fewer, face, etcd, coracle)).wrong !== undefined;
  });
  const last = await compare(smallest, face, etcd, coracle);
  console.log(
    `  shrunk to:\n${smallest.map((step) => `    ${describeStep(step)}`).join("\n")}\n  ${last.wrong}`,
  );
  console.log(
    `  again: npm run compat -- --seeds ${seed} --face ${face} --members ${coracle.faces.grpc.length}`,
  );
  return false;
}

interface Tally {
  compared: number;
  readonly meant: Map<string, number>;
}

async function main(): Promise<void> {
  if (!etcdInstalled()) {
    console.log("skipped: etcd is not installed (Debian: etcd-server)\n0 passed, 0 failed");
    return;
  }
  const { first, last, faces, members, rotate } = optionsOf(process.argv.slice(2));
  const etcd = await startEtcd();
  const coracles = await Promise.all(members.map(startCoracle));
  await Promise.all([etcd, ...coracles].map(passNamedRevisions));
  const pairs = coracles.flatMap((coracle) => faces.map((face) => ({ coracle, face })));
  const tally: Tally = { compared: 0, meant: new Map() };
  let passed = 0;
  let failed = 0;
  for (let seed = first; seed <= last && failed < failuresMax; seed++) {
    for (const [index, { coracle, face }] of pairs.entries()) {
      if (rotate && index !== seed % pairs.length) continue;
      if (await check(seed, face, etcd, coracle, tally)) passed++;
      else failed++;
    }
    if ((seed - first + 1) % 25 === 0) {
      console.log(`     seed ${seed}: ${tally.compared} answers compared, ${failed} failed`);
    }
  }
  for (const { name, reason } of differences) {
    const times = tally.meant.get(name);
    if (times !== undefined) console.log(`     meant, ${times} times: ${name}. ${reason}`);
  }
  await Promise.all([etcd, ...coracles].map((target) => target.stop()));
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed === 0 && passed > 0 ? 0 : 1);
}

await main();
