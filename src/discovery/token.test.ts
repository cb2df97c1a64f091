import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { CoracleError } from "../base/errors.ts";
import { BootstrapFile } from "./bootstrap-file.ts";
import { joinCommand, makeToken, readTokenFile, writeTokenFile } from "./token.ts";

function inFolder(body: (folder: string) => void): void {
  mkdirSync("/tmp/coracle-discovery", { recursive: true });
  const folder = mkdtempSync("/tmp/coracle-discovery/");
  try {
    body(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function refused(action: () => unknown, message: RegExp): void {
  assert.throws(action, (error) => {
    assert.ok(error instanceof CoracleError);
    assert.match(error.message, message);
    return true;
  });
}

describe("join tokens", () => {
  test("are long, different, and safe in a shell", () => {
    const token = makeToken();
    assert.match(token, /^[A-Za-z0-9_-]{43}$/);
    assert.notEqual(token, makeToken());
  });

  test("come back from a file that only the owner may read", () =>
    inFolder((folder) => {
      const path = join(folder, "token");
      const token = makeToken();
      writeTokenFile(path, token);
      assert.equal(statSync(path).mode & 0o777, 0o600);
      assert.equal(readTokenFile(path), token);
      refused(() => writeTokenFile(path, token), /cannot be written/);
    }));

  test("are not taken from a file that others may read, or that holds none", () =>
    inFolder((folder) => {
      const path = join(folder, "token");
      writeFileSync(path, `${makeToken()}\n`);
      chmodSync(path, 0o640);
      refused(() => readTokenFile(path), /has mode 0640.*chmod 600/);
      chmodSync(path, 0o600);
      writeFileSync(path, "short");
      refused(() => readTokenFile(path), /at least 16/);
      writeFileSync(path, "two words that are long enough");
      refused(() => readTokenFile(path), /one word/);
      refused(() => readTokenFile(join(folder, "none")), /cannot be read/);
    }));

  test("are not part of the command that is printed", () => {
    assert.equal(
      joinCommand({ peerAddress: "10.0.0.1:2380", tokenFile: "token" }),
      "coracle serve --join 10.0.0.1:2380 --token-file token",
    );
  });
});

test("the bootstrap file keeps a plan until it is cleared, and is refused when damaged", () =>
  inFolder((folder) => {
    const file = new BootstrapFile(folder);
    assert.equal(file.load(), undefined);
    const member = { id: 7, name: "n1", peerAddress: "a:1", clientUrls: [], grpcUrls: [], learner: false };
    const record = { plan: { clusterId: 2 ** 53 - 1, members: [member] }, committed: false };
    file.save(record);
    assert.deepEqual(new BootstrapFile(folder).load(), record);
    file.save({ ...record, committed: true });
    assert.equal(file.load()?.committed, true);
    writeFileSync(join(folder, "bootstrap.json"), '{"version":1,"plan":{');
    refused(() => file.load(), /is damaged/);
    file.clear();
    file.clear();
    assert.equal(file.load(), undefined);
  }));
