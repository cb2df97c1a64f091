import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { AuthorityMender } from "./authority.ts";
import { huffmanDecode } from "./huffman.ts";

/** What etcdctl 3.4 sends for `--endpoints=http://127.0.0.1:18778 endpoint status`, up to the request's end. */
const etcdctl = Buffer.from(
  "505249202a20485454502f322e300d0a0d0a534d0d0a0d0a000000040000000000000000040100000000" +
    "0000770104000000018386459760a924882d9dcb6571afa066a925a87510ac6e48d36a3f41909d29aee3" +
    "0c044eae05c0b86e05e75d7b5f8b1d75d0620d263d4c4d65647a8b9acac8b4c7602bb2caecff40027465" +
    "864d833505b11f40899acac8b24d494f6a7f860befbc26856f408d25062d495875996ee5b1063d5f0333" +
    "2e340000050001000000010000000000",
  "hex",
);
const sent = "http://127.0.0.1:18778";

function mendInPieces(bytes: Buffer, cuts: readonly number[]): Buffer {
  const mender = new AuthorityMender();
  const ends = [...cuts.map((cut) => cut % bytes.length), bytes.length].sort((a, b) => a - b);
  return Buffer.concat(ends.map((end, i) => mender.mend(bytes.subarray(ends[i - 1] ?? 0, end))));
}

/** A frame of HEADERS whose strings are as they are, behind the preface. */
function request(authority: string, flags = 4, before: number[] = []): Buffer {
  const text = Buffer.from(authority, "latin1");
  const block = Buffer.from([...before, 0x83, 0x86, 0x41, text.length, ...text, 0x40, 1, 97, 1, 98]);
  const header = Buffer.from([0, 0, block.length, 1, flags, 0, 0, 0, 1]);
  return Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), header, block]);
}

describe("an authority that is none", () => {
  test("etcdctl's URL becomes a text of its length, and nothing else changes", () => {
    const mended = mendInPieces(etcdctl, []);
    const place = mended.indexOf("x".repeat(sent.length));
    assert.ok(place > 0);
    assert.equal(mended[place - 1], sent.length, "as it is, not by Huffman's code");
    const before = etcdctl.indexOf(Buffer.from("41909d29", "hex"));
    const behind = Buffer.from("5f8b1d75", "hex");
    assert.deepEqual(mended.subarray(0, 42), etcdctl.subarray(0, 42));
    assert.deepEqual(mended.subarray(45, before + 1), etcdctl.subarray(45, before + 1));
    assert.deepEqual(mended.subarray(mended.indexOf(behind)), etcdctl.subarray(etcdctl.indexOf(behind)));
    assert.equal(mended.readUIntBE(42, 3), etcdctl.readUIntBE(42, 3) + mended.length - etcdctl.length);
  });

  test("it does not matter in which pieces the bytes arrive", () => {
    const whole = mendInPieces(etcdctl, []);
    for (let cut = 1; cut < etcdctl.length; cut++) {
      assert.deepEqual(mendInPieces(etcdctl, [cut]), whole, `cut at ${cut}`);
    }
    fc.assert(
      fc.property(fc.array(fc.nat(), { maxLength: 20 }), (cuts) => {
        assert.deepEqual(mendInPieces(etcdctl, cuts), whole);
      }),
    );
  });

  test("padding and priority stand before the block", () => {
    const bad = "#initially=[http://a:1;http://b:2]";
    for (const [flags, before] of [
      [4, []],
      [4 | 8, [0]],
      [4 | 0x20, [0, 0, 0, 0, 16]],
      [4 | 0x28, [0, 0, 0, 0, 0, 16]],
    ] as const) {
      const mended = mendInPieces(request(bad, flags, [...before]), []);
      assert.ok(mended.includes(`x`.repeat(bad.length)), `flags ${flags}`);
      assert.ok(!mended.includes("#initially"));
    }
  });
});

test("what is good passes as it is, and without a copy", () => {
  for (const authority of ["127.0.0.1:2379", "[::1]:2381", "node1.example.net", ""]) {
    const bytes = request(authority);
    assert.equal(new AuthorityMender().mend(bytes), bytes);
  }
});

test("bytes that are no HTTP/2 pass as well, whatever they are", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.array(fc.nat(), { maxLength: 5 }), (garbage, cuts) => {
      const bytes = Buffer.concat([request("a:1"), garbage]);
      const mended = mendInPieces(bytes, cuts);
      assert.ok(mended.length <= bytes.length + 20_000);
    }),
  );
});

test("Huffman's code as in RFC 7541, appendix C", () => {
  const decode = (hex: string) => huffmanDecode(Buffer.from(hex, "hex"));
  assert.equal(decode("f1e3c2e5f23a6ba0ab90f4ff"), "www.example.com");
  assert.equal(decode("9d29ad171863c78f0b97c8e9ae82ae43d3"), "https://www.example.com");
  assert.equal(decode("d07abe941054d444a8200595040b8166e082a62d1bff"), "Mon, 21 Oct 2013 20:13:21 GMT");
  assert.equal(
    decode("94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007"),
    "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
  );
  assert.equal(decode("ffffffff"), undefined, "the end of a string inside it");
  assert.equal(decode("1fff"), undefined, "padding of eleven bits");
});
