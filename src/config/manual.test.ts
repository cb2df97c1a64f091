import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { environmentName, type OptionSpec, serveOptions } from "./options.ts";
import { loadServeConfig } from "./serve-config.ts";

const manual = join(import.meta.dirname, "..", "..", "docs", "operations.md");
const [begin, end] = ["<!-- options: begin -->", "<!-- options: end -->"];

function rowOf(spec: OptionSpec): string {
  const argument = spec.argument === undefined ? "" : ` ${spec.argument.replace(/[<>]/g, "").toUpperCase()}`;
  const plain = spec.default === undefined || spec.default === false ? "" : `\`${spec.default}\``;
  const byDefault = spec.defaultText ?? plain;
  const example = spec.argument === undefined ? "" : `\`${spec.example}\``;
  const description = spec.description.replaceAll("|", "\\|");
  return `| \`--${spec.name}${argument}\` | ${description} | ${byDefault} | ${example} |`;
}

function optionsTable(): string {
  const specs = Object.values<OptionSpec>(serveOptions);
  const groups = [...new Set(specs.map((spec) => spec.group))];
  return groups
    .map((group) => {
      const rows = specs.filter((spec) => spec.group === group).map(rowOf);
      return `### ${group}\n\n| flag | meaning | default | example |\n|---|---|---|---|\n${rows.join("\n")}\n`;
    })
    .join("\n");
}

test("docs/operations.md lists the options as they are (UPDATE_GOLDEN=1 writes them)", () => {
  const text = readFileSync(manual, "utf8");
  const [before, rest] = text.split(begin);
  const after = rest?.split(end)[1];
  assert.ok(before !== undefined && after !== undefined, "the markers are there");
  const expected = `${before}${begin}\n\n${optionsTable()}\n${end}${after}`;
  if (process.env.UPDATE_GOLDEN === "1") writeFileSync(manual, expected);
  assert.equal(readFileSync(manual, "utf8"), expected);
});

test("the configuration file in docs/operations.md is accepted", () => {
  const example = /```json\n([\s\S]*?)```/.exec(readFileSync(manual, "utf8"))?.[1] ?? "";
  const sources = {
    flags: { config: "example.json" },
    environment: {},
    readTextFile: () => example,
    readTokenFile: () => "",
  };
  assert.equal(loadServeConfig(sources).join.length, 2);
});

test("option names, flags and variables are each other's", () => {
  for (const [key, spec] of Object.entries<OptionSpec>(serveOptions)) {
    assert.match(spec.name, /^[a-z]+(-[a-z]+)*$/);
    assert.match(environmentName(spec.name), /^CORACLE_[A-Z_]+$/);
    assert.match(spec.description, /\.$/, key);
  }
});
