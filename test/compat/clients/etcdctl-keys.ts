import assert from "node:assert/strict";
import type { Etcdctl } from "./etcdctl.ts";

interface RangeJson {
  readonly header: { readonly revision: number };
  readonly kvs?: readonly { readonly key: string; readonly mod_revision: number; readonly version: number }[];
  readonly count?: number;
}

export const basic: Readonly<Record<string, (ctl: Etcdctl) => Promise<void>>> = {
  "put, get": async (ctl) => {
    assert.equal(await ctl.ok("put", "pg/a", "1"), "OK\n");
    assert.equal(await ctl.ok("get", "pg/a"), "pg/a\n1\n");
    assert.equal(await ctl.ok("get", "pg/none"), "");
    assert.equal(await ctl.ok("put", "pg/a", "2", "--prev-kv"), "OK\npg/a\n1\n");
    assert.equal(await ctl.ok("get", "pg/a", "--print-value-only"), "2\n");
    const { stdout } = await ctl.run(["put", "pg/stdin"], { input: "from\nstdin" });
    assert.equal(stdout, "OK\n");
    assert.equal(await ctl.ok("get", "pg/stdin", "--print-value-only"), "from\nstdin\n");
    await ctl.refused(/key is not provided/, "put", "", "x");
    await ctl.refused(/key not found/, "put", "pg/none", "--ignore-value");
    assert.equal(await ctl.ok("put", "pg/a", "--ignore-value"), "OK\n");
    assert.equal(await ctl.ok("get", "pg/a", "--print-value-only"), "2\n");
    await ctl.refused(/requested lease not found/, "put", "pg/a", "x", "--lease=7fffffff");
  },
  "get: ranges, order, revisions, formats": async (ctl) => {
    for (const [key, value] of Object.entries({ a: "3", b: "1", c: "2", d: "0" })) {
      await ctl.ok("put", `r/${key}`, value);
    }
    const keys = async (...args: string[]) =>
      (await ctl.ok("get", ...args, "--keys-only")).split("\n").filter((line) => line !== "");
    assert.deepEqual(await keys("r/", "--prefix"), ["r/a", "r/b", "r/c", "r/d"]);
    assert.deepEqual(await keys("r/b", "r/d"), ["r/b", "r/c"]);
    assert.deepEqual(await keys("r/", "--prefix", "--limit=2"), ["r/a", "r/b"]);
    assert.deepEqual(await keys("r/", "--prefix", "--order=DESCEND"), ["r/d", "r/c", "r/b", "r/a"]);
    assert.deepEqual(await keys("r/", "--prefix", "--sort-by=VALUE", "--order=ASCEND"), [
      "r/d",
      "r/b",
      "r/c",
      "r/a",
    ]);
    assert.ok((await keys("r/c", "--from-key")).slice(0, 2).join() === "r/c,r/d");
    const before = await ctl.json<RangeJson>("get", "r/a");
    assert.equal(before.count, 1);
    assert.equal(before.kvs?.[0]?.version, 1);
    await ctl.ok("put", "r/a", "new");
    const revision = String(before.header.revision);
    assert.equal(await ctl.ok("get", "r/a", `--rev=${revision}`, "--print-value-only"), "3\n");
    assert.equal(
      await ctl.ok("get", "r/a", "--consistency=s", "--print-value-only").then((t) => t !== ""),
      true,
    );
    await ctl.refused(/required revision is a future revision/, "get", "r/a", "--rev=999999999");
    assert.match(await ctl.ok("get", "r/a", "-w", "fields"), /"ModRevision" : \d+/);
    assert.match(await ctl.ok("get", "r/a", "-w", "simple", "--hex"), /\\x72\\x2f\\x61/);
    assert.ok((await ctl.ok("get", "r/a", "-w", "protobuf")).length > 10);
  },
  del: async (ctl) => {
    for (const key of ["a", "b", "c", "d", "e"]) await ctl.ok("put", `d/${key}`, key);
    assert.equal(await ctl.ok("del", "d/a"), "1\n");
    assert.equal(await ctl.ok("del", "d/a"), "0\n");
    assert.equal(await ctl.ok("del", "d/b", "--prev-kv"), "1\nd/b\nb\n");
    assert.equal(await ctl.ok("del", "d/c", "d/e"), "2\n");
    assert.equal(await ctl.ok("del", "d/", "--prefix"), "1\n");
  },
  txn: async (ctl) => {
    await ctl.ok("put", "t/k", "v");
    const txn = async (input: string) => (await ctl.run(["txn"], { input })).stdout;
    const compares = 'value("t/k") = "v"\nversion("t/k") = "1"\ncreate("t/none") = "0"\nmod("t/k") > "0"\n';
    assert.equal(
      await txn(`${compares}\nput t/x one\nget t/k\n\nput t/x two\n\n`),
      "SUCCESS\n\nOK\n\nt/k\nv\n",
    );
    assert.equal(
      await txn('value("t/k") = "w"\n\nput t/x one\n\ndel t/x\nget t/k\n\n'),
      "FAILURE\n\n1\n\nt/k\nv\n",
    );
    const twice = await ctl.run(["txn"], { input: "\nput t/y 1\nput t/y 2\n\n\n" });
    assert.match(twice.stderr, /duplicate key given in txn request/);
  },
  lease: async (ctl) => {
    const granted = await ctl.ok("lease", "grant", "60");
    const id = /^lease ([0-9a-f]+) granted with TTL\(60s\)\n$/.exec(granted)?.[1] ?? "";
    assert.notEqual(id, "", granted);
    await ctl.ok("put", "l/a", "1", `--lease=${id}`);
    await ctl.ok("put", "l/b", "2", `--lease=${id}`);
    assert.match(
      await ctl.ok("lease", "timetolive", id, "--keys"),
      new RegExp(
        `^lease ${id} granted with TTL\\(60s\\), remaining\\(\\d+s\\), attached keys\\(\\[l/a l/b\\]\\)`,
      ),
    );
    assert.match(await ctl.ok("lease", "list"), new RegExp(`found \\d+ leases\n(.*\n)*${id}\n`));
    assert.match(await ctl.ok("lease", "keep-alive", "--once", id), /keepalived with TTL\(60\)/);
    const alive = ctl.background(["lease", "keep-alive", id]);
    await alive.shows("keepalived with TTL(60)");
    await alive.stop();
    assert.equal(await ctl.ok("put", "l/a", "3", "--ignore-lease"), "OK\n");
    assert.equal(await ctl.ok("lease", "revoke", id), `lease ${id} revoked\n`);
    assert.equal(await ctl.ok("get", "l/", "--prefix"), "");
    assert.match(await ctl.ok("lease", "timetolive", id), /already expired/);
    await ctl.refused(/requested lease not found/, "lease", "revoke", id);
  },
  "lease expires": async (ctl) => {
    const id = /lease ([0-9a-f]+)/.exec(await ctl.ok("lease", "grant", "2"))?.[1] ?? "";
    await ctl.ok("put", "le/a", "1", `--lease=${id}`);
    const watch = ctl.background(["watch", "le/a"]);
    await watch.shows("DELETE\nle/a\n");
    await watch.stop();
    assert.equal(await ctl.ok("get", "le/a"), "");
  },
  watch: async (ctl) => {
    const first = await ctl.json<RangeJson>("get", "w/a");
    const watch = ctl.background([
      "watch",
      "w/",
      "--prefix",
      "--prev-kv",
      `--rev=${first.header.revision + 1}`,
    ]);
    await ctl.ok("put", "w/a", "1");
    await watch.shows("PUT\nw/a\n1\n");
    await ctl.ok("put", "w/a", "2");
    await watch.shows("PUT\nw/a\n1\nw/a\n2\n");
    await ctl.ok("del", "w/a");
    await watch.shows("DELETE\nw/a\n2\nw/a\n");
    await watch.stop();
    const past = ctl.background(["watch", "w/a", `--rev=${first.header.revision + 1}`]);
    await past.shows("PUT\nw/a\n1\nPUT\nw/a\n2\nDELETE\nw/a\n");
    await past.stop();
  },
  "watch: interactive, exec, progress": async (ctl) => {
    const many = ctl.background(["watch", "-i"]);
    many.write("watch wi/a\nwatch wi/b --prefix\nprogress\n");
    await many.shows("progress notify:");
    await ctl.ok("put", "wi/a", "1");
    await many.shows("PUT\nwi/a\n1\n");
    await ctl.ok("put", "wi/bb", "2");
    await many.shows("PUT\nwi/bb\n2\n");
    await many.stop();
    const { header } = await ctl.json<RangeJson>("get", "wi/a");
    const exec = ctl.background([
      "watch",
      "wi/a",
      `--rev=${header.revision - 1}`,
      "--",
      "sh",
      "-c",
      "echo saw $ETCD_WATCH_KEY",
    ]);
    await exec.shows('saw "wi/a"');
    await exec.stop();
  },
  compaction: async (ctl) => {
    await ctl.ok("put", "c/a", "1");
    const { header } = await ctl.json<RangeJson>("get", "c/a");
    await ctl.ok("put", "c/a", "2");
    await ctl.ok("put", "c/a", "3");
    assert.equal(
      await ctl.ok("compaction", String(header.revision + 1)),
      `compacted revision ${header.revision + 1}\n`,
    );
    await ctl.refused(/required revision has been compacted/, "get", "c/a", `--rev=${header.revision}`);
    await ctl.refused(/required revision has been compacted/, "compaction", String(header.revision));
    await ctl.refused(/required revision is a future revision/, "compaction", "999999999");
    assert.match(
      await ctl.ok("compaction", "--physical", String(header.revision + 2)),
      /^compacted revision/,
    );
    const watch = ctl.background(["watch", "c/a", `--rev=${header.revision}`]);
    await watch.shows("required revision has been compacted");
    assert.notEqual(await watch.exited, 0);
  },
};
