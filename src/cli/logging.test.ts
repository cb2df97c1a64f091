import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { getLogger } from "@logtape/logtape";
import type { LogLevels } from "../config/values.ts";
import { startLogging, stopLogging } from "./logging.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "coracle-logging-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function logged(levels: LogLevels, format: "json" | "pretty", action: () => void): string[] {
  const path = join(folder, "log");
  const descriptor = openSync(path, "w");
  startLogging({ levels, format, descriptor });
  action();
  stopLogging();
  closeSync(descriptor);
  return readFileSync(path, "utf8").split("\n").slice(0, -1);
}

describe("logging", () => {
  test("JSON is one object a line, with time, level, room, message and fields", () => {
    const lines = logged({ base: "info", rooms: {} }, "json", () => {
      getLogger(["coracle", "peer"]).warn("Lost {name}\nagain.", { name: "n2", attempts: 3 });
    });
    assert.equal(lines.length, 1);
    const record = JSON.parse(lines[0] ?? "");
    assert.match(record["@timestamp"], /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    assert.equal(record.level, "WARN");
    assert.equal(record.logger, "coracle.peer");
    assert.equal(record.message, "Lost n2\\nagain.");
    assert.deepEqual(record.fields, { name: "n2", attempts: 3 });
  });

  test("a room may log more, or less, than the rest", () => {
    const levels: LogLevels = { base: "info", rooms: { raft: "debug", api: "error" } };
    const lines = logged(levels, "json", () => {
      getLogger(["coracle", "raft"]).debug("raft debug");
      getLogger(["coracle", "api"]).info("api info");
      getLogger(["coracle", "api"]).error("api error");
      getLogger(["coracle", "peer"]).debug("peer debug");
      getLogger(["coracle", "peer"]).info("peer info");
    });
    const messages = lines.map((line) => JSON.parse(line).message);
    assert.deepEqual(messages, ["raft debug", "api error", "peer info"]);
  });

  test("pretty is one line for people, without colours in a file", () => {
    const lines = logged({ base: "info", rooms: {} }, "pretty", () => {
      getLogger(["coracle", "node"]).info("Became leader in term {term}.", { term: 4 });
    });
    assert.equal(lines.length, 1);
    const line = lines[0] ?? "";
    assert.match(line, /info.*coracle.*node.*Became leader in term 4\./);
    assert.ok(!line.includes("\u001b"), line);
  });

  test("nothing is lost when the process exits behind a burst into a slow pipe", () => {
    const script = join(import.meta.dirname, "logging-burst.test-support.ts");
    const runtime = process.execPath;
    const isDeno = "Deno" in globalThis;
    const burst = isDeno ? `"${runtime}" run -A --no-check "${script}"` : `"${runtime}" "${script}"`;
    // The reader starts late: the pipe is full long before.
    const result = spawnSync("sh", ["-c", `(${burst}; echo "exit $?" >&2) 2>&1 | (sleep 0.3; cat)`], {
      encoding: "utf8",
    });
    const lines = result.stdout.trim().split("\n");
    assert.equal(lines.at(-1), "exit 3");
    const numbers = lines.slice(0, -1).map((line) => JSON.parse(line).fields.number);
    assert.deepEqual(
      numbers,
      Array.from({ length: 5000 }, (_, index) => index),
    );
  });
});
