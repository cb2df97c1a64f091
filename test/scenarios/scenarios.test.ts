import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { describe, test } from "node:test";
import { Scenario } from "./scenario.ts";

/*
 * Each `*.txt` beside is a scenario: paragraphs of commands, a line `----`, and the output they gave.
 * `UPDATE_GOLDEN=1` writes the outputs anew; read the difference before it is committed.
 */

const folder = new URL(".", import.meta.url);
const separator = "----";

/** The file as it should be: every paragraph's output taken from a run. */
function replay(text: string): string {
  const scenario = new Scenario();
  const paragraphs = text.trimEnd().split(/\n{2,}/);
  return `${paragraphs.map((paragraph) => replayParagraph(scenario, paragraph)).join("\n\n")}\n`;
}

function replayParagraph(scenario: Scenario, paragraph: string): string {
  const lines = paragraph.split("\n");
  const end = lines.indexOf(separator);
  const input = end < 0 ? lines : lines.slice(0, end);
  const commands = input.filter((line) => !line.startsWith("#"));
  if (commands.length === 0) return paragraph;
  return [...input, separator, ...commands.flatMap((command) => scenario.run(command))].join("\n");
}

describe("scenarios", () => {
  const names = readdirSync(folder).filter((name) => name.endsWith(".txt"));
  test("there are some", () => assert.ok(names.length >= 40, `${names.length} scenarios`));
  for (const name of names.sort()) {
    test(name, () => {
      const file = new URL(name, folder);
      const golden = readFileSync(file, "utf8");
      const actual = replay(golden);
      if (process.env.UPDATE_GOLDEN === "1") writeFileSync(file, actual);
      else assert.equal(actual, golden, `${name} has changed; UPDATE_GOLDEN=1 writes it anew`);
    });
  }
});
