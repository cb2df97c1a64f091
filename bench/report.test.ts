import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { renderReport } from "./markdown.ts";
import { readAssets, renderPage } from "./page.ts";
import type { PartResult, Target } from "./part.ts";
import { loadResults, type StoredResult, storeResult } from "./results.ts";
import { median, percentile } from "./statistics.ts";
import { isReached, numberText, withUnit } from "./wording.ts";

const part: PartResult = {
  part: "some",
  title: "Some <part> & more",
  about: ["Medians of 3 rounds."],
  measuredOn: "2026-11-21",
  versions: { coracle: "0.1.0 (abc)", etcd: "3.4.23" },
  tables: [
    {
      title: "Times",
      note: "Lower is better.",
      columns: ["who", "ms", "share"],
      rows: [
        ["coracle | all", 1234.56, "12%"],
        ["etcd", 0.5, null],
      ],
    },
  ],
  targets: [
    { what: "PUT", measured: 2.5, unit: "x", atLeast: 2 },
    { what: "p99", measured: 12.345, unit: "ms", atMost: 10 },
  ],
  charts: [
    {
      title: "</script>",
      ...{ x: "in flight", y: "requests/s" },
      groups: ["1", "64"],
      lines: [{ name: "coracle", points: [[0, 10]] }],
    },
  ],
};
const stored: StoredResult = { ...part, machine: "2 × CPU" };

describe("verdicts", () => {
  const target: Target = { what: "", measured: 2, unit: "x" };

  test("a bound that is met exactly is reached", () => {
    assert.ok(isReached({ ...target, atLeast: 2 }));
    assert.ok(isReached({ ...target, atMost: 2 }));
    assert.ok(!isReached({ ...target, atLeast: 2.01 }));
    assert.ok(!isReached({ ...target, atMost: 1.99 }));
  });

  test("what could not be computed is missed", () => {
    assert.ok(!isReached({ ...target, measured: Number.NaN, atMost: 2 }));
    // JSON has no NaN: it is null once it was kept.
    assert.ok(!isReached({ ...target, measured: JSON.parse("null"), atMost: 2 }));
    assert.equal(withUnit(JSON.parse("null"), "ms"), "–");
  });
});

describe("figures", () => {
  test("have as many digits as are worth reading", () => {
    const texts = [12_345.6, 250.4, 12.34, 1.234, 0.5, 64, 0, Number.NaN].map(numberText);
    assert.deepEqual(texts, ["12,346", "250", "12.3", "1.23", "0.50", "64", "0", "–"]);
  });

  test("median and percentile", () => {
    assert.equal(median([3, 1, 2]), 2);
    assert.equal(median([4, 1, 2, 3]), 2.5);
    assert.ok(Number.isNaN(median([])));
    assert.equal(percentile([1, 2, 3, 4], 0.99), 4);
    assert.equal(percentile([1, 2, 3, 4], 0.5), 3);
  });
});

test("results are kept and read back in the order of the parts", () => {
  const folder = mkdtempSync(join(tmpdir(), "bench-results-"));
  try {
    storeResult(part, folder);
    storeResult({ ...part, part: "another" }, folder);
    const names = loadResults(["another", "never-ran", "some"], folder).map((result) => result.part);
    assert.deepEqual(names, ["another", "some"]);
    const { machine, ...rest } = loadResults(["some"], folder)[0] ?? stored;
    assert.deepEqual(rest, part);
    assert.notEqual(machine, "");
    assert.deepEqual(loadResults(["some"], join(folder, "not there")), []);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("the report begins with every target and its verdict", () => {
  const text = renderReport([stored]);
  const [summary = "", section = ""] = text.split("\n## some:");
  assert.match(summary, /1 of 2 reached, 1 missed\./);
  assert.match(
    summary,
    /\| \[some\]\(#some-some-part--more\) \| PUT \| at least 2\.00x \| 2\.50x \| reached \|/,
  );
  assert.match(summary, /\| p99 \| at most 10 ms \| 12\.3 ms \| \*\*missed\*\* \|/);
  assert.match(section, /\| who \| ms \| share \|\n\|---\|--:\|--:\|/);
  assert.match(section, /\| coracle \\\| all \| 1,235 \| 12% \|\n\| etcd \| 0\.50 \| {2}\|/);
  assert.match(section, /Lower is better\./);
});

test("the page stands alone, and texts cannot break out of it", () => {
  const page = renderPage([stored], { script: "var uPlot;", style: ".u {}", client: "draw();" });
  assert.doesNotMatch(page, /<link|<script[^>]+src=|https?:\/\//);
  assert.match(page, /Some &lt;part&gt; &amp; more/);
  const data = /<script type="application\/json" id="charts">(.*)<\/script>/.exec(page)?.[1] ?? "";
  assert.deepEqual(JSON.parse(data), [{ part: "some", charts: part.charts }]);
  assert.doesNotMatch(data, /<\/script/);
});

test("uPlot and the drawing are there to be inlined", () => {
  const { script, style, client } = readAssets();
  assert.match(script, /var uPlot=/);
  assert.match(style, /\.uplot/);
  assert.match(client, /new uPlot\(/);
  assert.doesNotMatch(script + client, /<\/script/);
});
