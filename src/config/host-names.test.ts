import assert from "node:assert/strict";
import { test } from "node:test";
import { clientHostNames } from "./host-names.ts";
import { loadServeConfig } from "./serve-config.ts";

function names(flags: Record<string, string | boolean | string[]>): readonly string[] | undefined {
  const config = loadServeConfig({
    flags: { name: "n1", ...flags },
    environment: {},
    readTokenFile: () => "",
  });
  return clientHostNames(config, "vm7.example.org");
}

const own = ["127.0.0.1", "vm7.example.org", "vm7"];
const outside = { "listen-client": "10.0.0.1", insecure: true };

test("on loopback a member goes by its own names, by its machine's, and by those it is told", () => {
  assert.deepEqual(names({}), own);
  assert.deepEqual(names({ "advertise-client": "http://node1.example.net" }), [
    "node1.example.net",
    ...own.slice(1),
  ]);
  assert.deepEqual(names({ "client-host-names": ["lb.example.net,coracle", "x.y"] }), [
    ...own,
    "lb.example.net",
    "coracle",
    "x.y",
  ]);
  assert.equal(names({ "client-host-names": "*" }), undefined);
});

test("beyond loopback any name will do, unless names are given", () => {
  assert.equal(names(outside), undefined);
  assert.deepEqual(names({ ...outside, "client-host-names": "lb" }), [
    "10.0.0.1",
    "vm7.example.org",
    "vm7",
    "lb",
  ]);
});

test("a name has no port, scheme or path", () => {
  for (const wrong of ["lb:2379", "http://lb", "a b", "*.example.net", "a,,b"]) {
    assert.throws(() => names({ "client-host-names": wrong }), { code: "config_invalid" }, wrong);
  }
});
