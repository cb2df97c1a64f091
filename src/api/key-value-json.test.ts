import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { KeyValue } from "../kv/types.ts";
import { keyValueDocument } from "./documents.ts";
import { deletedKeyJson, keyValueJson } from "./key-value-json.ts";

const count = fc.nat();
const bytes = fc.oneof(
  fc.uint8Array(),
  fc.string({ unit: "binary" }).map((text) => new TextEncoder().encode(text)),
  fc.string().map((text) => new TextEncoder().encode(text)),
);
const keyValue: fc.Arbitrary<KeyValue> = fc.record({
  key: bytes,
  value: fc.uint8Array(),
  createRevision: count,
  modRevision: count,
  version: count,
  lease: fc.oneof(count, fc.constant(2n ** 60n), fc.constant(-5)),
});

test("the JSON of a key is that of its document", () => {
  fc.assert(
    fc.property(keyValue, fc.boolean(), (found, withValue) => {
      assert.equal(
        `{${keyValueJson(found, withValue)}}`,
        JSON.stringify(keyValueDocument(found, "json", withValue)),
      );
      const { create_revision, version, lease, ...rest } = keyValueDocument(found, "json", false);
      assert.equal(`{${deletedKeyJson(found)}}`, JSON.stringify(rest));
    }),
  );
});
