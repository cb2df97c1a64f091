import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { CoracleError, errorCodes } from "../base/errors.ts";
import { testApp } from "./app.test-support.ts";
import { errorFaces } from "./errors.ts";

describe("the error map", () => {
  for (const code of errorCodes) {
    test(`${code} is answered with its status, code and sentence`, async () => {
      const { service, send } = testApp();
      service.failWith = new CoracleError(code, "A sentence with 1 value.", { some_detail: 5 });
      const answer = await send("PUT", "/v1/kv/a", { body: "x" });
      const face = errorFaces[code];
      assert.equal(answer.status, face.status);
      assert.equal(answer.headers.get("content-type"), "application/problem+json");
      assert.equal(answer.headers.get("retry-after"), face.retryAfterSeconds === undefined ? null : "1");
      const { request_id, ...rest } = answer.document;
      assert.deepEqual(rest, {
        type: `/errors/${code}`,
        title: face.title,
        status: face.status,
        detail: "A sentence with 1 value.",
        code,
        some_detail: 5,
      });
      assert.equal(answer.headers.get("x-request-id"), request_id);
      const explained = await send("GET", `/errors/${code}`);
      assert.equal(explained.status, 200);
      assert.match(explained.text, new RegExp(`^${code} \\(${face.status}\\): `));
    });
  }

  test("the three kinds of failure never share a status", () => {
    const statuses = (codes: readonly (typeof errorCodes)[number][]) =>
      new Set(codes.map((code) => errorFaces[code].status));
    const notProposed = statuses(["no_leader", "not_proposed", "overloaded", "shutting_down"]);
    const unknown = statuses(["outcome_unknown"]);
    assert.deepEqual(notProposed, new Set([503, 429]));
    assert.deepEqual(unknown, new Set([504]));
    for (const code of errorCodes) {
      if (["no_leader", "not_proposed", "overloaded", "shutting_down", "outcome_unknown"].includes(code))
        continue;
      assert.ok(![503, 429, 504].includes(errorFaces[code].status), `${code} looks retryable or unknown`);
    }
  });

  test("is the table of the documentation", () => {
    const text = readFileSync(new URL("../../docs/http-api.md", import.meta.url), "utf8");
    const documented = new Map<string, number>();
    for (const [, codes = "", status] of text.matchAll(/^\| (`[a-z_`, ]+`) \| (\d{3}) \|/gm)) {
      for (const [, code = ""] of codes.matchAll(/`([a-z_]+)`/g)) documented.set(code, Number(status));
    }
    assert.deepEqual(
      [...documented].sort(),
      errorCodes.map((code): [string, number] => [code, errorFaces[code].status]).sort(),
    );
  });

  test("a bug is answered 500 without its text, and only CBOR clients get CBOR", async () => {
    const { service, send } = testApp();
    service.failWith = new TypeError("a secret path /etc/x");
    const answer = await send("GET", "/v1/kv/a", { headers: { "x-request-id": "mine-1" } });
    assert.equal(answer.status, 500);
    assert.equal(answer.document.code, "internal");
    assert.equal(answer.document.request_id, "mine-1");
    assert.doesNotMatch(answer.text, /secret/);
    service.failWith = new TypeError("a secret path /etc/x");
    const cbor = await send("GET", "/v1/kv/a", { headers: { accept: "application/cbor" } });
    assert.equal(cbor.headers.get("content-type"), "application/cbor");
    assert.equal(cbor.document.code, "internal");
    const both = await send("GET", "/v1/kv/a", {
      headers: { accept: "application/json, application/cbor;q=0.5" },
    });
    assert.equal(both.headers.get("content-type"), "application/problem+json");
  });
});
