import assert from "node:assert/strict";
import { test } from "node:test";
import { rawPath } from "./key-target.ts";

/** A request as a server makes it, whose URL is not checked. */
function requestAt(url: string): Request {
  return { url } as unknown as Request;
}

test("the path is found in a whole URL, and where a request without Host has nothing else", () => {
  assert.equal(rawPath(requestAt("http://127.0.0.1:2379/v1/kv/a%2Fb?x=1")), "/v1/kv/a%2Fb");
  assert.equal(rawPath(requestAt("/livez")), "/livez");
  assert.equal(rawPath(requestAt("/v1/kv?prefix=http://x/y")), "/v1/kv");
  assert.equal(rawPath(requestAt("http://[::1]/v1/kv?prefix=/a")), "/v1/kv");
});
