import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { parseH2load, parseWrk } from "./load.ts";

const h2loadOutput = `
finished in 1.00s, 10023.00 req/s, 2.21MB/s
requests: 10023 total, 10087 started, 10023 done, 10021 succeeded, 2 failed, 0 errored, 1 timeout
status codes: 10021 2xx, 0 3xx, 0 4xx, 2 5xx
traffic: 2.21MB (2315313) total, 127.45KB (130509) headers (space savings 95.01%), 1.26MB (1322772) data
                     min         max         mean         sd        +/- sd
`;

describe("h2load", () => {
  test("counts, bytes of bodies and latencies of what was answered", () => {
    const log = "1500\t200\t1000\n1501\t200\t3000\n1502\t-1\t9000\n1503\t200\t2000\n";
    assert.deepEqual(parseH2load(h2loadOutput, log, 1), {
      answered: 10_021,
      failed: 3,
      bodyBytes: 1_322_772,
      seconds: 1,
      p50Ms: 2,
      p99Ms: 3,
      p999Ms: 3,
    });
  });

  test("no counts are an error, not a zero", () => {
    assert.throws(() => parseH2load("could not connect", "", 1), /no counts/);
  });
});

describe("wrk", () => {
  test("the line of its script", () => {
    const line =
      'RESULT {"requests":5000,"bytes":900000,"microseconds":2000000,"status":3,"lost":1,"p50":1500,"p99":9000,"p999":12000}';
    assert.deepEqual(parseWrk(`Running 2s test\n\n${line}\n`), {
      answered: 4_997,
      failed: 4,
      bodyBytes: 900_000,
      seconds: 2,
      p50Ms: 1.5,
      p99Ms: 9,
      p999Ms: 12,
    });
  });

  test("without it there is no result", () => {
    assert.throws(() => parseWrk("unable to connect"), /no result/);
  });
});
