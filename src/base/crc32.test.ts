import assert from "node:assert/strict";
import { test } from "node:test";
import { utf8 } from "./bytes.ts";
import { crc32 } from "./crc32.ts";

test("crc32 is that of IEEE 802.3", () => {
  // The check value of the CRC catalogue.
  assert.equal(crc32("123456789"), 0xcbf4_3926);
  assert.equal(crc32(""), 0);
});

test("crc32 takes a text as its UTF-8, and a view as the bytes it shows", () => {
  const text = "Schlüssel 鍵 🗝";
  assert.equal(crc32(text), crc32(utf8(text)));
  assert.equal(crc32(Uint8Array.of(9, 1, 2, 9).subarray(1, 3)), crc32(Uint8Array.of(1, 2)));
});

test("crc32 goes on from what was before", () => {
  assert.equal(crc32("world", crc32("hello ")), crc32("hello world"));
});
