import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import type { Part, PartOptions, PartResult } from "./part.ts";
import { steady } from "./steady.ts";

const result: PartResult = {
  part: "p",
  title: "P",
  about: ["Done."],
  measuredOn: "2026-01-01",
  versions: {},
  tables: [],
  targets: [],
  charts: [],
};

/** Runs a part whose every attempt is told by its number. */
async function runSteady(attempt: (number: number) => Promise<PartResult>): Promise<PartResult> {
  const folder = mkdtempSync(join(tmpdir(), "coracle-steady-"));
  let number = 0;
  const part: Part = { name: "p", about: "", run: () => attempt(++number) };
  const options: PartOptions = { quick: false, repeats: 1, seconds: 1, folder, log: () => {} };
  try {
    return await steady(part).run(options);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Holds this process up, as a machine does that stands still. */
async function standStill(): Promise<void> {
  const end = performance.now() + 1_700;
  while (performance.now() < end);
  await new Promise((resolve) => setTimeout(resolve, 250));
}

describe("a part on a machine that stands still", () => {
  test("is begun anew when it failed meanwhile", async () => {
    const got = await runSteady(async (number) => {
      if (number > 1) return result;
      await standStill();
      throw new Error("a request failed");
    });
    assert.deepEqual(got, result);
  });

  test("says so when it did not fail", async () => {
    const got = await runSteady(async () => {
      await standStill();
      return result;
    });
    assert.match(got.about[1] ?? "", /stood still/);
  });

  test("fails at once when the machine did not stand still", async () => {
    let attempts = 0;
    const failing = runSteady(async (number) => {
      attempts = number;
      throw new Error("wrong");
    });
    await assert.rejects(failing, /wrong/);
    assert.equal(attempts, 1);
  });
});
