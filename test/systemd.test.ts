import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { exitCodes } from "../src/cli/exit-codes.ts";
import { exitRemoved } from "../src/cli/serve.ts";
import { loadServeConfig } from "../src/config/serve-config.ts";

/** The unit as systemd itself judges it. */

const unit = join(import.meta.dirname, "..", "systemd", "coracle.service");
const environmentFile = join(import.meta.dirname, "..", "systemd", "coracle.env");
const exposureMax = 2.0;
const readTokenFile = (): string => assert.fail("no token file is named");
const folder = mkdtempSync(join(tmpdir(), "coracle-systemd-"));
after(() => rmSync(folder, { recursive: true, force: true }));

function run(program: string, ...args: string[]) {
  const result = spawnSync(program, args, {
    encoding: "utf8",
    timeout: 120_000,
    env: { ...process.env, SYSTEMD_COLORS: "0" },
  });
  return { status: result.status, output: `${result.stdout ?? ""}${result.stderr ?? ""}` };
}

/** Debian's systemd, installed when this is possible; the reason is printed when it is not. */
function hasAnalyzer(): boolean {
  const works = () => run("systemd-analyze", "--version").status === 0;
  if (works()) return true;
  if (process.getuid?.() === 0 && run("apt-get", "--version").status === 0) {
    run("apt-get", "install", "-y", "--no-install-recommends", "systemd");
    if (works()) return true;
  }
  console.log("Skipped: systemd-analyze is not here and cannot be installed (Debian's package systemd).");
  return false;
}

const skip = hasAnalyzer() ? false : "systemd-analyze is not installed";

describe("systemd/coracle.service", () => {
  test("systemd accepts it", { skip }, () => {
    // The executable need not be installed on the machine that tests.
    const text = readFileSync(unit, "utf8").replace(/^ExecStart=\S+/m, "ExecStart=/bin/true");
    const copy = join(folder, "coracle.service");
    writeFileSync(copy, text);
    const { status, output } = run("systemd-analyze", "verify", "--man=no", copy);
    assert.equal(output, "");
    assert.equal(status, 0);
  });

  test(`its exposure is below ${exposureMax}`, { skip }, () => {
    const { output } = run("systemd-analyze", "security", "--offline=true", "--no-pager", unit);
    const exposure = Number(/Overall exposure level for \S+: ([\d.]+)/.exec(output)?.[1]);
    assert.ok(exposure > 0 && exposure < exposureMax, output);
  });

  test("it does not start a removed member again", () => {
    const codes = /^RestartPreventExitStatus=(.*)$/m.exec(readFileSync(unit, "utf8"))?.[1]?.split(" ");
    assert.deepEqual(codes?.map(Number), [exitCodes.usage, exitRemoved]);
  });

  test("it starts serve with settings that serve accepts, and waits longer than a stop takes", () => {
    const text = readFileSync(unit, "utf8");
    assert.match(text, /^ExecStart=\/usr\/local\/bin\/coracle serve$/m);
    const pairs = [...text.matchAll(/(CORACLE_\w+)=(\S+)/g)].map((match) => [match[1], match[2]]);
    const config = loadServeConfig({
      flags: { name: "n1" },
      environment: Object.fromEntries(pairs),
      readTokenFile,
    });
    assert.equal(config.dataDir, "/var/lib/coracle");
    const stopSeconds = Number(/^TimeoutStopSec=(\d+)$/m.exec(text)?.[1]);
    assert.ok(stopSeconds * 1000 > config.stopGraceMs);
  });
});

test("every variable in systemd/coracle.env is an option", () => {
  const text = readFileSync(environmentFile, "utf8");
  const pairs = [...text.matchAll(/^#?(CORACLE_\w+)=(\S*)$/gm)].map(
    (match) => [match[1] ?? "", match[2] ?? ""] as const,
  );
  assert.ok(pairs.length > 5);
  const environment = { ...Object.fromEntries(pairs), CORACLE_TOKEN: "0123456789abcdef" };
  const seen = new Set<string>();
  const watched = new Proxy(environment, {
    get: (target, name) => {
      seen.add(String(name));
      return Reflect.get(target, name);
    },
  });
  assert.equal(loadServeConfig({ flags: {}, environment: watched, readTokenFile }).join[0], "10.0.0.1:2380");
  assert.deepEqual(
    pairs.map(([name]) => name).filter((name) => !seen.has(name)),
    [],
  );
});
