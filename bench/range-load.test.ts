import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { faces } from "./faces.ts";
import { benchValue, keyOf } from "./fill.ts";
import { rangeScript } from "./range-load.ts";

/** The request that the script would send for this number. */
function requestOf(script: string, number: number): string {
  const table = (name: string): string[] => {
    const [, list = ""] = new RegExp(`^local ${name} = \\{(.*)\\}$`, "m").exec(script) ?? [];
    return JSON.parse(`[${list}]`) as string[];
  };
  const [parts, three, two] = [table("parts"), table("three"), table("two")];
  const low = number % 100_000;
  const digits = [three[Math.floor(number / 100_000)], three[Math.floor(low / 100)], two[low % 100]];
  return parts.join(digits.join(""));
}

describe("the load of keys at random from all", () => {
  for (const face of [faces.coracleWrk, faces.gatewayWrk]) {
    for (const operation of ["put", "get", "get-serializable", "txn", "range"] as const) {
      test(`${face.name} ${operation}: the script writes a key as the face does`, () => {
        const options = { target: "h:1", inFlight: 1, seconds: 1, keys: 5_000_000, folder: "" };
        const script = rangeScript({ ...options, face, operation });
        for (const number of [0, 7, 99_999, 100_000, 1_234_567, 4_999_999]) {
          const { method, path, body } = face.request(operation, keyOf(number), benchValue);
          const text = requestOf(script, number);
          assert.equal(text.slice(0, text.indexOf(" HTTP/1.1")), `${method} ${path}`);
          assert.equal(text.slice(text.indexOf("\r\n\r\n") + 4), new TextDecoder().decode(body));
        }
      });
    }
  }
});
