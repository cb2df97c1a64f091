// Starts coracle, or its tests, from a fresh clone: `start [flags of coracle dev]` or `test`.
// Plain JavaScript on purpose: Node, Bun and Deno run it before anything is installed.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const modules = join(root, "node_modules");
const stampFile = join(modules, ".coracle-install");
const bunBinary = join(modules, "bun", "bin", "bun.exe");

// Not `npm ci`: it demands an entry for every platform of every optional package, and the lock
// need not have those of platforms that nobody could fetch. Locked versions and hashes hold here too.
// No install scripts: bun and deno bring their binaries in their packages, and the native half of
// cbor-x is not used.
const npmInstall = [
  "install",
  "--no-save",
  "--no-fund",
  "--no-audit",
  "--loglevel=error",
  "--ignore-scripts",
];
const denoNpm = ["--no-config", "--no-lock", "--node-modules-dir=none", "npm:npm@11.6.2"];

function fail(sentence) {
  console.error(`coracle: ${sentence}`);
  process.exit(1);
}

function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return undefined;
  }
}

function lockHash() {
  const hash = createHash("sha256");
  for (const name of ["package.json", "package-lock.json"]) hash.update(readFileSync(join(root, name)));
  return hash.digest("hex");
}

/** Whether what is locked is installed: by our own mark, or when others installed it, by the versions. */
function isInstalled() {
  if (existsSync(stampFile)) return readFileSync(stampFile, "utf8") === lockHash();
  const { dependencies, devDependencies } = readJson(join(root, "package.json"));
  return Object.entries({ ...dependencies, ...devDependencies }).every(
    ([name, version]) => readJson(join(modules, name, "package.json"))?.version === version,
  );
}

/** The package manager that runs this script, and how it installs exactly what is locked. */
function installCommand() {
  const agent = process.env.npm_config_user_agent ?? "";
  const manager = process.env.npm_execpath;
  if (globalThis.Deno !== undefined) {
    // npm itself, run by Deno: so the one lock file holds, which `deno install` does not read.
    return [process.execPath, "run", "-A", ...denoNpm, ...npmInstall];
  }
  if (agent.startsWith("bun/") || process.versions.bun !== undefined) {
    const bun = process.versions.bun !== undefined ? process.execPath : (manager ?? "bun");
    return [bun, "install", "--no-save"];
  }
  return ["npm", ...npmInstall];
}

function runQuietly(command, args) {
  return spawnSync(command, args, { cwd: root, stdio: "ignore" }).status === 0;
}

function install() {
  if (!isInstalled()) {
    const [command, ...args] = installCommand();
    console.error("Installing dependencies ...");
    const result = spawnSync(command, args, { cwd: root, stdio: ["ignore", 2, 2] });
    if (result.status !== 0) {
      fail(
        `The dependencies could not be installed: "${[command, ...args].join(" ")}" failed; its lines above say why.`,
      );
    }
    writeFileSync(stampFile, lockHash());
  }
  if (runQuietly(bunBinary, ["--version"])) return;
  // A package manager that runs no install scripts leaves a placeholder: run Bun's own.
  const script = join(modules, "bun", "install.js");
  runQuietly(process.execPath, globalThis.Deno === undefined ? [script] : ["run", "-A", script]);
  if (!runQuietly(bunBinary, ["--version"])) {
    fail(`Bun does not run at ${bunBinary}; remove node_modules and start again.`);
  }
}

/** Runs a program to its end with this terminal, passing signals on. Resolves with its exit code. */
function run(command, args) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, stdio: "inherit" });
    const forward = (signal) => child.kill(signal);
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, forward);
    // A package manager that is told to end ends its shell alone, and this process would go on without it.
    const parent = process.ppid;
    const watch = setInterval(() => {
      if (process.ppid !== parent) forward("SIGTERM");
    }, 500);
    child.on("error", (error) => fail(`${command} could not be started: ${error.message}.`));
    child.on("exit", (code, signal) => {
      clearInterval(watch);
      for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) process.off(name, forward);
      resolve(code ?? (signal === "SIGINT" ? 130 : 1));
    });
  });
}

const [task, ...args] = process.argv.slice(2);
if (task !== "start" && task !== "test") fail("Say what to launch: start or test.");
install();
if (task === "test") process.exit(await run(bunBinary, [join(root, "test", "run.ts"), ...args]));
const compiled = await run(bunBinary, [join(root, "compile.ts"), "--local"]);
if (compiled !== 0) process.exit(compiled);
process.exit(await run(join(root, "dist", "coracle"), ["dev", ...args]));
