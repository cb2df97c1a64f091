import { createHash } from "node:crypto";
import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join, relative, resolve } from "node:path";
import type { BunPlugin } from "bun";
import manifest from "./package.json" with { type: "json" };
import { workerModules } from "./src/runtime/worker.ts";

/**
 * Compiles the executables into dist/: `coracle-VERSION-TARGET` for every target, `coracle` for this
 * machine, and SHA256SUMS. With `--local` only this machine's, which needs no network; the runtimes of
 * the other targets are fetched once by Bun from the package registry and then kept in its cache.
 */

const root = import.meta.dirname;
const dist = join(root, "dist");
const stampFile = join(dist, ".stamp.json");
const targets = ["linux-x64", "linux-x64-musl", "linux-arm64"] as const;

interface Build {
  readonly target: string;
  readonly commit: string;
}

/** The target of this machine, in the words of `bun build --target=bun-...`. */
function localTarget(): string {
  const musl =
    process.platform === "linux" &&
    existsSync(`/lib/ld-musl-${process.arch === "arm64" ? "aarch64" : "x86_64"}.so.1`);
  return `${process.platform}-${process.arch}${musl ? "-musl" : ""}`;
}

/** The commit of the source, with `-modified` behind it when files differ from it; `unknown` outside a repository. */
function commitOf(): string {
  const git = (...args: string[]) => {
    const result = Bun.spawnSync(["git", "-C", root, ...args], { stderr: "ignore" });
    return result.success ? result.stdout.toString().trim() : undefined;
  };
  try {
    // The repository must be coracle's own, not one that coracle's files were unpacked into.
    if (resolve(git("rev-parse", "--show-toplevel") ?? "/") !== resolve(root)) return "unknown";
    const commit = git("rev-parse", "--short=12", "HEAD");
    if (commit === undefined) return "unknown";
    return git("status", "--porcelain", "--", "src", "package.json", "package-lock.json", "compile.ts") === ""
      ? commit
      : `${commit}-modified`;
  } catch {
    return "unknown";
  }
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !/\.(test|test-support)\.ts$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

/** Changes when anything does that goes into the executable. */
function sourceHash(commit: string): string {
  const hash = createHash("sha256").update(`${Bun.version}\0${commit}\0`);
  const inputs = ["package.json", "package-lock.json", "compile.ts"].map((name) => join(root, name));
  for (const path of [...inputs, ...filesBelow(join(root, "src"))]) {
    hash
      .update(`${relative(root, path)}\0`)
      .update(readFileSync(path))
      .update("\0");
  }
  return hash.digest("hex");
}

function readStamp(): Record<string, string> {
  try {
    const stamp: unknown = JSON.parse(readFileSync(stampFile, "utf8"));
    return typeof stamp === "object" && stamp !== null ? { ...(stamp as Record<string, string>) } : {};
  } catch {
    return {};
  }
}

function fileName(target: string): string {
  return `coracle-${manifest.version}-${target}`;
}

/**
 * Leaves out of prom-client what pushes metrics to a server: nothing here does, and to load it loads the
 * HTTP client and zlib, a tenth of a member's start.
 */
const withoutPushgateway: BunPlugin = {
  name: "without-pushgateway",
  setup(builder) {
    let left = false;
    builder.onLoad({ filter: /prom-client\/lib\/pushgateway\.js$/ }, () => {
      left = true;
      return { contents: "module.exports = undefined;", loader: "js" };
    });
    builder.onEnd(() => {
      if (!left)
        throw new Error("prom-client has its pushgateway elsewhere now: compile.ts must leave it out");
    });
  },
};

async function build({ target, commit }: Build): Promise<void> {
  const started = performance.now();
  // Under another name first: a running executable is replaced, never written into.
  const fresh = join(dist, `.${fileName(target)}.new`);
  const result = await Bun.build({
    entrypoints: ["main.ts", ...workerModules].map((name) => join(root, "src", name)),
    root: join(root, "src"),
    compile: {
      target: `bun-${target}` as Bun.Build.CompileTarget,
      outfile: fresh,
      // Files that happen to lie in the folder where it is started must not change what it does.
      autoloadBunfig: false,
      autoloadDotenv: false,
      autoloadPackageJson: false,
      autoloadTsconfig: false,
      // The longest key, percent-encoded, with room for headers: Bun's own limit is 16 KiB.
      execArgv: ["--max-http-header-size=131072"],
    },
    plugins: [withoutPushgateway],
    minify: true,
    bytecode: true,
    format: "esm",
    sourcemap: "none",
    define: {
      CORACLE_BUILD: JSON.stringify({ commit, target }),
      // The native half of cbor-x aborts the process on large documents; nothing may load it.
      "process.env.CBOR_NATIVE_ACCELERATION_DISABLED": '"true"',
    },
    throw: false,
  });
  if (!result.success) {
    for (const log of result.logs) console.error(String(log));
    const hint =
      target === localTarget()
        ? ""
        : " Its runtime is fetched once from the package registry: is that reachable?";
    throw new Error(`${target} could not be compiled.${hint}`);
  }
  renameSync(fresh, join(dist, fileName(target)));
  const sizeMib = statSync(join(dist, fileName(target))).size / 1024 ** 2;
  console.log(
    `${fileName(target)}  ${sizeMib.toFixed(1)} MiB  ${Math.round(performance.now() - started)} ms`,
  );
}

function writeSums(names: readonly string[]): void {
  const lines = names.map((name) => {
    const sum = createHash("sha256")
      .update(readFileSync(join(dist, name)))
      .digest("hex");
    return `${sum}  ${name}\n`;
  });
  writeFileSync(join(dist, "SHA256SUMS"), lines.join(""));
}

/** `dist/coracle` is this machine's executable: a second name of the same file. */
function linkLocal(): void {
  const path = join(dist, "coracle");
  rmSync(path, { force: true });
  linkSync(join(dist, fileName(localTarget())), path);
}

async function main(args: readonly string[]): Promise<void> {
  const unknown = args.find((arg) => arg !== "--local" && arg !== "--force");
  if (unknown !== undefined) throw new Error(`Unknown argument ${unknown}; there are --local and --force.`);
  const local = localTarget();
  const wanted = args.includes("--local") ? [local] : [...new Set([...targets, local])];
  const commit = commitOf();
  const hash = sourceHash(commit);
  mkdirSync(dist, { recursive: true });
  const stamp = args.includes("--force") ? {} : readStamp();
  let compiled = 0;
  for (const target of wanted) {
    if (stamp[target] === hash && existsSync(join(dist, fileName(target)))) continue;
    await build({ target, commit });
    stamp[target] = hash;
    writeFileSync(stampFile, JSON.stringify(stamp));
    compiled++;
  }
  if (compiled === 0) console.log("dist/ is up to date.");
  if (wanted.includes(local)) linkLocal();
  if (!args.includes("--local")) writeSums(wanted.map(fileName));
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  console.error(`compile: ${error instanceof Error ? error.message : String(error)}`);
  process.exit(1);
}
