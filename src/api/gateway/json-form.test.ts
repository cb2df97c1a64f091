import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  create,
  type DescField,
  type DescMessage,
  equals,
  fromJson,
  type MessageShape,
  ScalarType,
  toJson,
} from "@bufbuild/protobuf";
import { type Random, seededRandom } from "../../base/prng.ts";
import { MemberListResponseSchema } from "../../etcd/gen/cluster_pb.ts";
import {
  DeleteRangeRequestSchema,
  PutRequestSchema,
  RangeRequestSchema,
  RangeResponseSchema,
  TxnRequestSchema,
  TxnResponseSchema,
} from "../../etcd/gen/kv_pb.ts";
import { AlarmResponseSchema, StatusResponseSchema } from "../../etcd/gen/maintenance_pb.ts";
import { WatchRequestSchema, WatchResponseSchema } from "../../etcd/gen/watch_pb.ts";
import { decoderOf } from "./decode.ts";
import { encoderOf } from "./encode.ts";
import { firstValue, JsonError } from "./json.ts";

const schemas: readonly DescMessage[] = [
  PutRequestSchema,
  RangeRequestSchema,
  DeleteRangeRequestSchema,
  TxnRequestSchema,
  TxnResponseSchema,
  RangeResponseSchema,
  WatchRequestSchema,
  WatchResponseSchema,
  MemberListResponseSchema,
  StatusResponseSchema,
  AlarmResponseSchema,
];

const seed = Number(process.env.SEED ?? 20_261_121);

/** A message with random fields, by its descriptor. */
function randomMessage(random: Random, schema: DescMessage, depth = 3): MessageShape<DescMessage> {
  const init: Record<string, unknown> = {};
  for (const member of schema.members) {
    if (random.below(3) === 0) continue;
    if (member.kind === "oneof") {
      const field = member.fields[random.below(member.fields.length)];
      if (field === undefined || (field.message !== undefined && depth === 0)) continue;
      init[member.localName] = { case: field.localName, value: randomValue(random, field, depth) };
    } else if (member.fieldKind === "list") {
      if (member.message !== undefined && depth === 0) continue;
      init[member.localName] = Array.from({ length: random.below(3) }, () =>
        randomValue(random, member, depth),
      );
    } else if (member.message === undefined || depth > 0) {
      init[member.localName] = randomValue(random, member, depth);
    }
  }
  return create(schema, init);
}

function randomValue(random: Random, field: DescField, depth: number): unknown {
  if (field.message !== undefined) return randomMessage(random, field.message, depth - 1);
  if (field.enum !== undefined) return field.enum.values[random.below(field.enum.values.length)]?.number;
  const word = (): bigint => BigInt(random.below(2 ** 32));
  switch (field.scalar) {
    case ScalarType.BYTES:
      return Uint8Array.from({ length: random.below(9) }, () => random.below(256));
    case ScalarType.STRING:
      return ["", "a", 'quo"te', "\u00e4\n\u2028", "\\"][random.below(5)];
    case ScalarType.BOOL:
      return random.below(2) === 0;
    case ScalarType.INT64:
      return random.below(2) === 0 ? BigInt(random.below(5)) : BigInt.asIntN(64, (word() << 32n) | word());
    case ScalarType.UINT64:
      return BigInt.asUintN(64, (word() << 32n) | word());
    default:
      return random.below(2 ** 31);
  }
}

describe("the JSON form of messages", () => {
  test(`is that of protobuf, written and read (SEED=${seed})`, () => {
    const random = seededRandom(seed);
    for (const schema of schemas) {
      const [encode, decode] = [encoderOf(schema), decoderOf(schema)];
      for (let round = 0; round < 200; round++) {
        const message = randomMessage(random, schema);
        const text = encode(message);
        const json = toJson(schema, message, { useProtoFieldName: true });
        assert.deepEqual(JSON.parse(text), JSON.parse(JSON.stringify(json)), schema.typeName);
        assert.ok(equals(schema, fromJson(schema, JSON.parse(text)), message), text);

        const read = decode(firstValue(text)?.value ?? null);
        assert.ok(equals(schema, create(schema, read as never), message), text);
        const camel = JSON.stringify(toJson(schema, message, { enumAsInteger: true }));
        const again = decode(firstValue(`${camel} {`)?.value ?? null);
        assert.ok(equals(schema, create(schema, again as never), message), camel);
      }
    }
  });

  const readPut = (text: string) => decoderOf(PutRequestSchema)(firstValue(text)?.value ?? null);

  test("takes integers as they are written, to the last digit", () => {
    for (const text of ['{"lease":9223372036854775807}', '{"lease":"9223372036854775807"}']) {
      assert.equal(readPut(text).lease, 2n ** 63n - 1n);
    }
    assert.equal(readPut('{"lease":-9223372036854775808}').lease, -(2n ** 63n));
    assert.equal(readPut('{"lease":9007199254740993}').lease, 9007199254740993n);
    assert.equal(readPut('{"lease":-0}').lease, 0n);
    assert.equal(readPut('{"lease":" 7 "}').lease, 7n);
  });

  test("takes nulls, unknown fields, both spellings and what follows for what they are in etcd", () => {
    const put = readPut('{"key":null,"nothing":[{"a":1}],"prev_kv":true,"ignoreValue":true} garbage');
    assert.equal(put.key.length, 0);
    assert.deepEqual([put.prevKv, put.ignoreValue], [true, true]);
    assert.equal(readPut('{"prev_kv":true,"prevKv":false}').prevKv, false, "camel case counts");
    assert.equal(readPut('{"__proto__":{"key":"YQ=="}}').key.length, 0);
    assert.deepEqual([...readPut('{"key":[1,null,255]}').key], [1, 0, 255]);
    assert.deepEqual([...readPut('{"key":"YW\\r\\nI="}').key], [97, 98]);
    assert.equal(firstValue("  \n"), undefined);
  });

  const refusals: readonly (readonly [text: string, words: string])[] = [
    ["{", "unexpected EOF"],
    ['{"key":"YQ=="', "unexpected EOF"],
    ["[1]", "json: cannot unmarshal array into Go value of type map[string]json.RawMessage"],
    ["5", "json: cannot unmarshal number into Go value of type map[string]json.RawMessage"],
    ["{key:1}", "invalid character 'k' looking for beginning of object key string"],
    ['{"key" 1}', "invalid character '1' after object key"],
    ['{"key":"YQ=="]', "invalid character ']' after object key:value pair"],
    ['{"key":tru}', "invalid character '}' in literal true (expecting 'e')"],
    ['{"key":"\\x"}', "invalid character 'x' in string escape code"],
    ['{"key":"\\u12g4"}', "invalid character 'g' in \\u hexadecimal character escape"],
    ['{"key":"a\nb"}', "invalid character '\\n' in string literal"],
    ['{"key":1.}', "invalid character '}' after decimal point in numeric literal"],
    ['{"key":"YQ"}', "illegal base64 data at input byte 0"],
    ['{"key":"YWJjYQ"}', "illegal base64 data at input byte 4"],
    ['{"key":"YW J"}', "illegal base64 data at input byte 2"],
    ['{"key":"Y-_="}', "illegal base64 data at input byte 1"],
    ['{"key":5}', "json: cannot unmarshal number into Go value of type []uint8"],
    ['{"key":[256]}', "json: cannot unmarshal number 256 into Go value of type uint8"],
    ['{"lease":1.0}', "json: cannot unmarshal number 1.0 into Go value of type int64"],
    [
      '{"lease":9223372036854775808}',
      "json: cannot unmarshal number 9223372036854775808 into Go value of type int64",
    ],
    ['{"lease":""}', "unexpected end of JSON input"],
    ['{"lease":"x"}', "invalid character 'x' looking for beginning of value"],
    ['{"lease":true}', "json: cannot unmarshal bool into Go value of type int64"],
    ['{"prev_kv":"true"}', "json: cannot unmarshal string into Go value of type bool"],
    [`${"[".repeat(5000)}`, "exceeded max depth"],
  ];
  for (const [text, words] of refusals) {
    test(`refuses ${text.slice(0, 40)} in Go's words`, () => {
      assert.throws(
        () => readPut(text),
        (error) => error instanceof JsonError && error.message === words,
      );
    });
  }

  test("names an enum's type as Go does", () => {
    const read = decoderOf(RangeRequestSchema);
    assert.throws(() => read({ sort_order: "UP" }), {
      message: 'unknown value "UP" for enum etcdserverpb.RangeRequest_SortOrder',
    });
    assert.equal(read({ sort_order: "DESCEND" }).sortOrder, 2);
    assert.equal(read({ sort_order: 7 }).sortOrder, 7);
  });
});
