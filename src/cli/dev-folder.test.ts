import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { planMembers, removeEarlierRuns } from "./dev-folder.ts";
import { CommandFailure } from "./exit-codes.ts";

let folder = "";
const servers: Server[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "coracle-dev-"));
});
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
  rmSync(folder, { recursive: true, force: true });
});

async function occupy(port: number): Promise<number> {
  const server = createServer();
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

/** A port whose neighbours are most likely free as well. */
async function somePort(): Promise<number> {
  const port = await occupy(0);
  servers.pop()?.close();
  return Math.min(port, 65_000);
}

const refuses = (sentence: RegExp) => (error: unknown) =>
  error instanceof CommandFailure && sentence.test(error.message) && /\.$/.test(error.message);

describe("ports and names", () => {
  test("members get neighbouring free ports, and the same ones at the next start", async () => {
    const portBase = await somePort();
    const first = await planMembers({ dataDir: folder, members: 3, portBase });
    assert.deepEqual(
      first.map((member) => member.name),
      ["n1", "n2", "n3"],
    );
    const ports = first.flatMap((member) => [member.clientPort, member.peerPort, member.grpcPort]);
    assert.equal(new Set(ports).size, 9);
    assert.ok(ports.every((port) => port >= portBase));
    assert.deepEqual(await planMembers({ dataDir: folder, members: 3 }), first);
    assert.deepEqual(await planMembers({ dataDir: folder, members: 3, portBase }), first);
  });

  test("a taken port is stepped over in a new cluster, and told in a known one", async () => {
    const portBase = await occupy(0);
    const [member] = await planMembers({ dataDir: folder, members: 1, portBase });
    assert.ok(member !== undefined && member.clientPort > portBase);
    await occupy(member.peerPort);
    await assert.rejects(
      planMembers({ dataDir: folder, members: 1 }),
      refuses(new RegExp(`Port ${member.peerPort} is in use`)),
    );
  });

  test("another number of members or another port needs --fresh", async () => {
    const portBase = await somePort();
    await planMembers({ dataDir: folder, members: 1, portBase });
    await assert.rejects(
      planMembers({ dataDir: folder, members: 3 }),
      refuses(/holds a cluster of 1 members/),
    );
    await assert.rejects(
      planMembers({ dataDir: folder, members: 1, portBase: 1 }),
      refuses(/--port-base 1;.*--fresh/),
    );
  });

  test("a damaged dev.json is told", async () => {
    writeFileSync(join(folder, "dev.json"), "{");
    await assert.rejects(planMembers({ dataDir: folder, members: 1 }), refuses(/dev\.json cannot be read/));
  });
});

describe("--fresh", () => {
  test("removes what earlier runs left", async () => {
    await planMembers({ dataDir: folder, members: 1, portBase: await somePort() });
    mkdirSync(join(folder, "n1", "snapshots"), { recursive: true });
    for (const name of ["raft.db", "raft.db-wal", "state.db", "coracle.lock", "token"]) {
      writeFileSync(join(folder, "n1", name), "");
    }
    removeEarlierRuns(folder);
    assert.ok(!existsSync(folder));
    removeEarlierRuns(folder);
  });

  test("removes nothing when there is anything else", () => {
    mkdirSync(join(folder, "n1"));
    writeFileSync(join(folder, "n1", "thesis.odt"), "");
    assert.throws(() => removeEarlierRuns(folder), refuses(/thesis\.odt is not coracle's/));
    assert.ok(existsSync(join(folder, "n1", "thesis.odt")));
    rmSync(join(folder, "n1"), { recursive: true });
    writeFileSync(join(folder, "package.json"), "{}");
    assert.throws(() => removeEarlierRuns(folder), refuses(/package\.json is not coracle's/));
  });
});
