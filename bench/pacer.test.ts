import assert from "node:assert/strict";
import { createServer } from "node:http";
import { describe, test } from "node:test";
import { until } from "../test/e2e/wait.ts";
import { overlap, secondsOf } from "./checkpoints.ts";
import { longestGapMs, Pacer, type Samples, spreadOf, spreadOfAll } from "./pacer.ts";
import { slopeOf } from "./parts/soak.ts";

const samples: Samples = {
  beganMs: Float64Array.of(100, 110, 120, 400),
  tookMs: Float64Array.of(5, 50, 1, 10),
  failed: 0,
  repeats: {},
};

describe("what is made of samples", () => {
  test("a spread counts the jobs that began in a window", () => {
    assert.equal(spreadOf(samples).count, 4);
    assert.deepEqual(spreadOf(samples, [[105, 130]]), {
      count: 2,
      p50Ms: 50,
      p99Ms: 50,
      p999Ms: 50,
      longestMs: 50,
    });
    assert.equal(
      spreadOfAll([
        [samples, [[0, 105]]],
        [samples, undefined],
      ]).count,
      5,
    );
  });

  test("the longest gap is between answers, and from and to the ends of the window", () => {
    assert.equal(longestGapMs(samples, 100, 420), 250);
    assert.equal(longestGapMs(samples, 0, 170), 105);
    assert.equal(longestGapMs(samples, 400, 1000), 590);
  });

  test("windows are cut with each other", () => {
    const cut = overlap(
      [
        [0, 100],
        [200, 300],
      ],
      [[50, 250]],
    );
    assert.deepEqual(cut, [
      [50, 100],
      [200, 250],
    ]);
    assert.equal(secondsOf(cut), 0.1);
  });

  test("the slope is that of the second half", () => {
    assert.equal(
      slopeOf([
        [0, 900],
        [1, 0],
        [2, 10],
        [3, 13],
        [4, 16],
        [5, 19],
      ]),
      3,
    );
  });
});

describe("the pacer", () => {
  test("goes to the next member with a write that one refuses, and tells why", async () => {
    const seen: string[] = [];
    const server = (status: number) =>
      createServer((request, response) => {
        seen.push(`${status} ${request.method}`);
        response.writeHead(status, { "Content-Length": "2" }).end("{}");
      });
    const servers = [server(503), server(200)];
    try {
      const endpoints: string[] = [];
      for (const one of servers) {
        await new Promise<void>((listening) => one.listen(0, "127.0.0.1", listening));
        const address = one.address();
        endpoints.push(typeof address === "object" ? `127.0.0.1:${address?.port}` : "");
      }
      const pacer = await Pacer.start({
        endpoints,
        face: "coracleWrk",
        connections: 1,
        perSecond: 200,
        jobs: [{ kind: "put", share: 1 }],
        keys: 10,
        value: "value",
      });
      await until("some writes", () => seen.filter((one) => one === "200 PUT").length >= 5);
      const { tookMs, failed, repeats } = await pacer.stop();
      assert.ok(tookMs.length >= 5);
      assert.equal(failed, 0);
      // The one client stays with the member that answers.
      assert.deepEqual(repeats, { "status 503": 1 });
    } finally {
      for (const one of servers) one.close();
    }
  });
});
