import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/**
 * The whole suite, in order of how soon a part says no. Prints everything as it runs, and alone on
 * the last line the sum. Arguments choose parts by name: `npm test -- unit deno`.
 */

/** Scripts that run the compiled executable, in their short form. Each ends with `N passed, N failed`. */
const endToEnd: readonly (readonly string[])[] = [
  ["bad-input.ts"],
  ["restart.ts", "--short"],
  ["durability.ts", "--short"],
  ["join.ts", "--short"],
  ["discovery.ts", "--short"],
  ["etcdctl.ts", "--short"],
  ["watch.ts", "--short"],
  ["many-watchers.ts", "--watchers", "1000"],
  ["listing.ts", "--short"],
  ["locks.ts", "--short"],
  ["faults.ts", "--short"],
  ["corruption.ts", "--short"],
  ["smoke-deno.ts"],
];

/** The comparison with etcd; a skipped one has printed why. */
const compat = ["../compat/differential/main.ts", "--seeds", "1..50", "--rotate"];

/** What also runs on Deno: the interfaces with an implementation a runtime, and the state machine. */
const denoPaths = ["test/contract", "src/kv"];

const root = join(import.meta.dirname, "..");
const reports = mkdtempSync(join(tmpdir(), "coracle-test-"));
const bin = (name: string): string => join(root, "node_modules", ".bin", name);
const bun = process.execPath;
const sawTestFile = (path: string): boolean =>
  existsSync(join(root, path)) &&
  readdirSync(join(root, path), { recursive: true }).some((file) => String(file).endsWith(".test.ts"));

/** As in the compiled executable: the native half of cbor-x aborts the process on large documents. */
const env = { ...process.env, CBOR_NATIVE_ACCELERATION_DISABLED: "true" };

interface Count {
  readonly passed: number;
  readonly failed: number;
}

interface Part {
  readonly name: string;
  readonly run: () => Promise<Count>;
}

const parts: readonly Part[] = [
  {
    name: "lint",
    run: () => check([bin("biome"), "check", "--config-path=.ci/lint.json", "--diagnostic-level=warn", "."]),
  },
  { name: "types", run: () => check([bin("tsc"), "--noEmit"]) },
  { name: "unit", run: runBunTests },
  { name: "deno", run: runDenoTests },
  { name: "compile", run: () => check([bun, "compile.ts", "--local"]) },
  ...endToEnd.map((script) => ({
    name: `e2e:${script[0]?.replace(".ts", "")}`,
    run: () => runScript(script),
  })),
  { name: "compat", run: () => runScript(compat) },
];

let child: ChildProcess | undefined;
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => {
    child?.kill(signal);
    process.exit(130);
  });
}

/** Runs a program, its output passing through. Gives the exit code and the last line that it printed. */
function execute(command: readonly string[]): Promise<{ readonly code: number; readonly lastLine: string }> {
  const [program = "", ...args] = command;
  return new Promise((resolve) => {
    const running = spawn(program, args, { cwd: root, stdio: ["ignore", "pipe", "inherit"], env });
    child = running;
    let tail = "";
    running.stdout.on("data", (chunk: Buffer) => {
      process.stdout.write(chunk);
      tail = (tail + chunk.toString()).slice(-1000);
    });
    running.once("error", (error) => {
      console.log(`${program} could not be started: ${error.message}`);
      resolve({ code: 127, lastLine: "" });
    });
    running.once("close", (code) =>
      resolve({ code: code ?? 1, lastLine: tail.trimEnd().split("\n").at(-1) ?? "" }),
    );
  });
}

/** A tool that says yes or no counts as one test. */
async function check(command: readonly string[]): Promise<Count> {
  const { code } = await execute(command);
  return code === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };
}

async function runBunTests(): Promise<Count> {
  const report = join(reports, "bun.xml");
  const paths = [
    "src",
    "test/contract",
    "test/scenarios",
    "test/sim",
    "test/e2e",
    "test/tidy.test.ts",
    "test/systemd.test.ts",
  ];
  const present = paths
    .filter((path) => path.endsWith(".ts") || sawTestFile(path))
    .map((path) => `./${path}`);
  const { code } = await execute([
    bun,
    "test",
    // Tests that start processes name their own bounds; this one catches a hang. Bun's own is 5 s.
    "--timeout=60000",
    "--reporter=junit",
    `--reporter-outfile=${report}`,
    ...present,
  ]);
  return junitCount(report, code);
}

async function runDenoTests(): Promise<Count> {
  const report = join(reports, "deno.xml");
  const present = denoPaths.filter(sawTestFile);
  const { code } = await execute([
    bin("deno"),
    "test",
    "-A",
    "--no-check",
    `--junit-path=${report}`,
    ...present,
  ]);
  return junitCount(report, code);
}

/** The sums on the root element. A runner that failed without naming a test counts as one failure. */
function junitCount(path: string, code: number): Count {
  const head = existsSync(path) ? (/<testsuites [^>]*>/.exec(readFileSync(path, "utf8"))?.[0] ?? "") : "";
  const attribute = (name: string): number => Number(new RegExp(` ${name}="(\\d+)"`).exec(head)?.[1] ?? 0);
  const failed = attribute("failures") + attribute("errors");
  const passed = Math.max(0, attribute("tests") - failed - attribute("skipped"));
  return { passed, failed: failed === 0 && (code !== 0 || passed === 0) ? 1 : failed };
}

async function runScript(script: readonly string[]): Promise<Count> {
  const [file = "", ...args] = script;
  const { code, lastLine } = await execute([bun, join("test", "e2e", file), ...args]);
  const sums = /^(\d+) passed, (\d+) failed$/.exec(lastLine);
  const passed = Number(sums?.[1] ?? 0);
  const failed = Number(sums?.[2] ?? 0);
  // A script that says "0 passed, 0 failed" and ends well was skipped, and has printed why.
  return { passed, failed: failed === 0 && (code !== 0 || sums === null) ? 1 : failed };
}

async function main(wanted: readonly string[]): Promise<Count> {
  const unknown = wanted.find((name) => !parts.some((part) => part.name === name));
  if (unknown !== undefined) {
    console.log(`There is no part "${unknown}"; the parts are ${parts.map((part) => part.name).join(", ")}.`);
    return { passed: 0, failed: 1 };
  }
  const summary: string[] = [];
  let passed = 0;
  let failed = 0;
  for (const part of parts.filter(({ name }) => wanted.length === 0 || wanted.includes(name))) {
    console.log(`\n=== ${part.name}`);
    const startedMs = performance.now();
    const count = await part.run();
    passed += count.passed;
    failed += count.failed;
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
    summary.push(`${part.name.padEnd(16)} ${count.passed} passed, ${count.failed} failed  (${seconds} s)`);
  }
  console.log(`\n=== all\n${summary.join("\n")}`);
  return { passed, failed };
}

const { passed, failed } = await main(process.argv.slice(2));
rmSync(reports, { recursive: true, force: true });
console.log(`\n${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
