import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, join, relative } from "node:path";
import { describe, test } from "node:test";

/** Style rules that neither the linter nor the compiler know. Function length is the linter's. */

const root = join(import.meta.dirname, "..");
const fileLinesMax = 500;

interface TextFile {
  /** Relative to the root, with `/`. */
  readonly path: string;
  readonly text: string;
}

/** Files of the project: what is under version control, or without git what stands in its folders. */
function projectFiles(): TextFile[] {
  let paths: string[];
  try {
    const listed = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
      cwd: root,
    });
    paths = listed
      .toString()
      .split("\0")
      .filter((path) => path !== "");
  } catch {
    const folders = ["src", "test", "bench", "docs", "systemd", ".ci"].filter((folder) =>
      existsSync(join(root, folder)),
    );
    paths = folders.flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => relative(root, join(entry.parentPath, entry.name))),
    );
  }
  const texts = paths.filter((path) =>
    /\.(ts|mjs|md|json|html|service|env|txt)$|(^|\/)(run|\.npmrc)$/.test(path),
  );
  return texts
    .filter((path) => existsSync(join(root, path)))
    .map((path) => ({ path, text: readFileSync(join(root, path), "utf8") }));
}

/** Made by `npm run protos`: no style of ours. What imports them, and what they import, is checked all the same. */
const generated = /^src\/(etcd|grpc)\/gen\/\w[\w-]*_pb\.ts$/;

const files = projectFiles();
const typescript = files.filter(({ path }) => path.endsWith(".ts"));
const written = typescript.filter(({ path }) => !generated.test(path));
const source = typescript.filter(({ path }) => path.startsWith("src/"));
const product = source.filter(({ path }) => !/\.(test|test-support)\.ts$/.test(path));

function withoutComments(text: string): string {
  return text
    .replace(/\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]/g, ""))
    .replace(/(^|[^:"'`])\/\/.*$/gm, "$1");
}

/** Every line of these files that matches, as `path:line: text`. */
function matches(among: readonly TextFile[], pattern: RegExp, code = true): string[] {
  return among.flatMap(({ path, text }) =>
    (code ? withoutComments(text) : text)
      .split("\n")
      .flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : [])),
  );
}

/** Rooms from the bottom up. A room imports lower tiers; its own tier by type only. */
const tiers: readonly (readonly string[])[] = [
  ["base"],
  ["raft", "kv"],
  ["service"],
  ["wire", "watch"],
  ["storage", "peer", "discovery", "config"],
  ["concurrency"],
  ["etcd"],
  ["node", "api", "grpc"],
  ["cli"],
  ["main.ts"],
];
/** Stands beside the tiers: imports `base`, and only these rooms must not import it. */
const platformRoom = "runtime";
const platformFree = new Set(["base", "raft", "kv", "service", "wire", "watch"]);
/** Interfaces that lower rooms name, as types. */
const sharedTypes: readonly (readonly [room: string, file: string])[] = [["wire", "src/peer/types.ts"]];

const importPattern = /^\s*(?:import|export)\s+(type\s)?(?:[^"';]*?\sfrom\s+)?"(\.[^"]+)"/gm;
const lazyImportPattern = /\bimport\(\s*"(\.[^"]+)"\s*\)/g;

interface Import {
  readonly from: string;
  readonly to: string;
  readonly typeOnly: boolean;
}

function importsOf({ path, text }: TextFile): Import[] {
  const code = withoutComments(text);
  const resolve = (target: string): string => relative(root, join(root, path, "..", target));
  return [
    ...[...code.matchAll(importPattern)].map((match) => ({
      from: path,
      to: resolve(match[2] ?? ""),
      typeOnly: match[1] !== undefined,
    })),
    ...[...code.matchAll(lazyImportPattern)].map((match) => ({
      from: path,
      to: resolve(match[1] ?? ""),
      typeOnly: false,
    })),
  ];
}

function roomOf(path: string): string {
  return path.split("/")[1] ?? "";
}

function tierOf(room: string): number {
  return tiers.findIndex((tier) => tier.includes(room));
}

function isAllowed({ from, to, typeOnly }: Import): boolean {
  // The version of the package is the one thing that stands outside src.
  if (to === "package.json") return from === "src/base/build-info.ts";
  const [room, target] = [roomOf(from), roomOf(to)];
  if (room === target) return true;
  if (room === platformRoom) return target === "base";
  if (target === platformRoom) return !platformFree.has(room);
  if (typeOnly && sharedTypes.some(([lower, file]) => lower === room && file === to)) return true;
  return tierOf(target) < tierOf(room) || (typeOnly && tierOf(target) === tierOf(room));
}

describe("rooms", () => {
  test("every room has its tier", () => {
    const unknown = source
      .map(({ path }) => roomOf(path))
      .filter((room) => tierOf(room) === -1 && room !== platformRoom);
    assert.deepEqual([...new Set(unknown)], []);
  });

  test("imports point downward", () => {
    const imports = product.flatMap(importsOf);
    assert.ok(imports.length > 100, "the imports are found");
    const upward = imports.filter((item) => !isAllowed(item));
    assert.deepEqual(
      upward.map(({ from, to }) => `${from} imports ${to}`),
      [],
    );
  });

  test("the rule itself refuses what it should", () => {
    const refused = (from: string, to: string, typeOnly = false) => !isAllowed({ from, to, typeOnly });
    assert.ok(refused("src/raft/raft.ts", "src/kv/types.ts"));
    assert.ok(refused("src/kv/state.ts", "src/runtime/sqlite.ts"));
    assert.ok(refused("src/base/errors.ts", "src/api/errors.ts", true));
    assert.ok(refused("src/node/node.ts", "src/cli/io.ts"));
    assert.ok(!refused("src/node/node.ts", "src/raft/raft.ts"));
  });

  test("rooms with a contract of their own explain it in DESIGN.md", () => {
    const missing = ["raft", "kv", "storage", "peer", "node", "concurrency"].filter(
      (room) => !existsSync(join(root, "src", room, "DESIGN.md")),
    );
    assert.deepEqual(missing, []);
  });
});

describe("what code must not do", () => {
  const inRooms = (...rooms: string[]) => product.filter(({ path }) => rooms.includes(roomOf(path)));

  test("raft and kv know no time, no chance and no waiting", () => {
    const banned =
      /\b(await|async|Promise|Date\.now|new Date|Math\.random|performance\.now|crypto\.|setTimeout|setInterval|setImmediate|queueMicrotask|process\.)/;
    assert.deepEqual(matches(inRooms("raft", "kv"), banned), []);
    assert.equal(
      matches([{ path: "x.ts", text: "const a = Math.random();" }], banned).length,
      1,
      "the rule works",
    );
  });

  test("only runtime knows Bun from Deno", () => {
    const outside = product.filter(({ path }) => roomOf(path) !== platformRoom);
    assert.deepEqual(
      matches(outside, /\b(Bun|Deno)\.\w|["'](bun|deno):|["']node:sqlite["']|["']bun["']/),
      [],
    );
  });

  test("no signal stays joined to one that lives long", () => {
    assert.deepEqual(matches(product, /\bAbortSignal\.any\(/), [], "joinedSignal (src/base/signals.ts)");
  });

  test("cbor-x is taken without its native half, which ends the process on both runtimes", () => {
    const banned = /(?:from|import\(?)\s*"cbor-x(?!\/index-no-eval")/;
    assert.deepEqual(matches(typescript, banned), [], 'import "cbor-x/index-no-eval"');
    const entries = ["", "/decode", "/index-no-eval"].map(
      (entry) => `from "${["cbor", "x"].join("-")}${entry}"`,
    );
    const seen = entries.map((text) => matches([{ path: "x.ts", text }], banned).length);
    assert.deepEqual(seen, [1, 1, 0], "the rule works");
  });

  test("the product logs, it does not print", () => {
    assert.deepEqual(matches(product, /\bconsole\.\w/), []);
  });

  test("there are no barrels", () => {
    assert.deepEqual(matches(product, /^\s*export \* from/), []);
    assert.deepEqual(
      source.filter(({ path }) => basename(path) === "index.ts"),
      [],
    );
  });

  test("no test is left alone or switched off without a reason", () => {
    const tests = typescript.filter(({ path }) => path.endsWith(".test.ts") && path !== "test/tidy.test.ts");
    assert.deepEqual(matches(tests, /\b(test|describe|it)\.(only|todo)\(|\bonly: true/), []);
  });
});

describe("files and words", () => {
  test("files stay under the limit of lines", () => {
    const long = written.filter(({ text }) => text.split("\n").length - 1 > fileLinesMax);
    assert.deepEqual(
      long.map(({ path }) => path),
      [],
    );
  });

  test("file names are in kebab case", () => {
    const odd = written.filter(
      ({ path }) => !/^[a-z0-9]+(-[a-z0-9]+)*(\.(test|test-support))?\.ts$/.test(basename(path)),
    );
    assert.deepEqual(
      odd.map(({ path }) => path),
      [],
    );
  });

  test("words are the field's own, and nothing is left for later", () => {
    // Spelt apart, so that this file does not find itself.
    const words = [
      ["mas", "ter"],
      ["sla", "ve"],
      ["TO", "DO"],
      ["FIX", "ME"],
      ["XX", "X"],
    ].map((halves) => halves.join(""));
    const [leader, follower, ...notes] = words;
    const texts = files.filter(({ path }) => path !== "package-lock.json" && path !== "LICENSE");
    assert.deepEqual(matches(texts, new RegExp(`\\b(${leader}|${follower})s?\\b`, "i"), false), []);
    assert.deepEqual(matches(texts, new RegExp(`\\b(${notes.join("|")})\\b`), false), []);
  });

  test("no registry host is named", () => {
    const host = new RegExp(["registry\\.", "[\\w-]+\\.(org|com|dev|io)"].join(""), "i");
    assert.deepEqual(matches(files, host, false), []);
    const lock = readFileSync(join(root, "package-lock.json"), "utf8");
    assert.ok(!lock.includes('"resolved"'), "package-lock.json names where packages came from");
    const locks = ["bun.lock", "bun.lockb", "deno.lock", "yarn.lock", "pnpm-lock.yaml"];
    assert.deepEqual(
      locks.filter((name) => files.some(({ path }) => path === name)),
      [],
      "one lock file",
    );
  });

  test("dependencies are pinned", () => {
    const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
    const loose = Object.entries({ ...manifest.dependencies, ...manifest.devDependencies }).filter(
      ([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(String(version)),
    );
    assert.deepEqual(loose, []);
  });
});
