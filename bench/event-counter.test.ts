import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { EventCounter } from "./event-counter.ts";

const created = '{"result":{"created":true}}\n';
const put = '{"result":{"events":[{"kv":{"key":"a","mod_revision":"2"}}]}}\n';
const two = '{"result":{"events":[{"kv":{"mod_revision":"3"}},{"kv":{"mod_revision":"4"}}]}}\n';
const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;
const head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

describe("the counter of watch events", () => {
  test("counts each event once, wherever the bytes are cut", () => {
    // The last message is spread over two chunks, in the midst of the words that are counted.
    const cut = two.indexOf("revision");
    const bytes = Buffer.from(
      head + chunk(created) + chunk(put) + chunk(two.slice(0, cut)) + chunk(two.slice(cut)),
    );
    for (const size of [1, 2, 3, 7, 64, bytes.length]) {
      const counter = new EventCounter();
      for (let at = 0; at < bytes.length; at += size) counter.take(bytes.subarray(at, at + size));
      assert.equal(counter.events, 3, `${size} bytes at once`);
      assert.equal(counter.open, true);
    }
  });

  test("says that a watch is open at its first message, not before", () => {
    const counter = new EventCounter();
    counter.take(Buffer.from(head));
    assert.equal(counter.open, false);
    counter.take(Buffer.from(chunk(created)));
    assert.equal(counter.open, true);
  });

  test("refuses an answer that is an error, and an end", () => {
    assert.throws(() => new EventCounter().take(Buffer.from("HTTP/1.1 503 No\r\n\r\n")), /503/);
    const counter = new EventCounter();
    counter.take(Buffer.from(head + chunk(created)));
    assert.throws(() => counter.take(Buffer.from("0\r\n\r\n")), /ended/);
  });
});
