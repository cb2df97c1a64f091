"""Checks of the Python package etcd3 (gRPC). Arguments: endpoints. See script-client.ts for what it prints."""

import json
import sys
import threading
import time

import etcd3

host, port = sys.argv[1].split(":")


def check(name):
    def decorate(run):
        client = etcd3.client(host=host, port=int(port), timeout=10)
        try:
            run(client)
            print(json.dumps({"check": name, "ok": True}), flush=True)
        except BaseException as error:
            print(json.dumps({"check": name, "ok": False, "error": repr(error)[:400]}), flush=True)
        finally:
            client.close()

    return decorate


def until(what, condition, seconds=20):
    deadline = time.time() + seconds
    while not condition():
        assert time.time() < deadline, "not within %s s: %s" % (seconds, what)
        time.sleep(0.02)


@check("keys")
def _(client):
    client.put("k/a", "1")
    client.put("k/b", b"\x00\xff")
    assert client.get("k/a")[0] == b"1"
    assert client.get("k/none") == (None, None)
    assert [meta.key for _, meta in client.get_prefix("k/")] == [b"k/a", b"k/b"]
    assert [v for v, _ in client.get_prefix("k/", sort_order="descend")] == [b"\x00\xff", b"1"]
    assert [v for v, _ in client.get_range("k/a", "k/b")] == [b"1"]
    assert client.put("k/a", "2", prev_kv=True).prev_kv.value == b"1"
    assert client.replace("k/a", "2", "3") and not client.replace("k/a", "2", "4")
    assert client.put_if_not_exists("k/c", "1") and not client.put_if_not_exists("k/c", "2")
    assert client.delete("k/c") and not client.delete("k/c")
    assert client.delete_prefix("k/").deleted == 2


@check("transactions")
def _(client):
    client.put("t/a", "1")
    t = client.transactions
    done, answers = client.transaction(
        compare=[t.value("t/a") == "1", t.version("t/a") > 0, t.create("t/none") == 0],
        success=[t.put("t/b", "2"), t.get("t/a"), t.delete("t/a")],
        failure=[],
    )
    assert done and answers[1][0][0] == b"1"
    done, _ = client.transaction(compare=[t.mod("t/a") > 0], success=[], failure=[t.put("t/c", "3")])
    assert not done and client.get("t/c")[0] == b"3"
    nested, _ = client.transaction(
        compare=[], success=[t.txn(compare=[], success=[t.put("t/n", "1")], failure=[])], failure=[]
    )
    assert nested and client.get("t/n")[0] == b"1"


@check("leases")
def _(client):
    lease = client.lease(10)
    client.put("l/a", "1", lease=lease)
    assert lease.granted_ttl == 10 and 0 <= lease.remaining_ttl <= 10
    assert list(lease.keys) == [b"l/a"]
    assert [answer.TTL for answer in lease.refresh()] == [10]
    lease.revoke()
    assert client.get("l/a")[0] is None
    short = client.lease(2)
    client.put("l/b", "1", lease=short)
    until("the end of the lease", lambda: client.get("l/b")[0] is None)


@check("locks")
def _(client):
    one, two = client.lock("lock", ttl=5), client.lock("lock", ttl=5)
    assert one.acquire() and one.is_acquired()
    # Waiting for a lock that is held fails inside Debian's package (its retry library is newer than it
    # knows), with every server.
    assert not two.is_acquired()
    assert one.release()
    assert two.acquire(timeout=5)
    assert two.release()


@check("watch")
def _(client):
    seen = []

    def told(response):
        seen.extend((type(e).__name__, e.key, e.value) for e in getattr(response, "events", []))

    watch = client.add_watch_prefix_callback("w/", told)
    client.put("w/a", "1")
    client.delete("w/a")
    until("two events", lambda: len(seen) >= 2)
    assert seen == [("PutEvent", b"w/a", b"1"), ("DeleteEvent", b"w/a", b"")], seen
    client.cancel_watch(watch)
    start = client.get("w/none")[1]
    events, cancel = client.watch("w/b")
    threading.Timer(0.2, lambda: client.put("w/b", "x")).start()
    assert next(events).value == b"x"
    cancel()
    assert start is None


@check("members, status, maintenance")
def _(client):
    assert len(list(client.members)) == 3
    status = client.status()
    assert status.leader is not None and status.raft_term > 0
    assert status.version.count(".") == 2
    client.compact(int(client.put("m/a", "1").header.revision) - 1)
    client.defragment()
    assert isinstance(client.hash(), int)
    assert list(client.list_alarms()) == []


@check("snapshot")
def _(client):
    import tempfile

    with tempfile.TemporaryFile() as out:
        client.snapshot(out)
        assert out.tell() > 4096
