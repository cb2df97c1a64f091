"""Checks of the Python package etcd3gw (JSON gateway). Arguments: endpoints. See script-client.ts for what it prints."""

import json
import sys
import threading
import time

from etcd3gw.client import Etcd3Client
from etcd3gw.utils import _encode

host, port = sys.argv[1].split(":")


def check(name):
    def decorate(run):
        client = Etcd3Client(host=host, port=int(port), timeout=15, api_path="/v3/")
        try:
            run(client)
            print(json.dumps({"check": name, "ok": True}), flush=True)
        except BaseException as error:
            print(json.dumps({"check": name, "ok": False, "error": repr(error)[:400]}), flush=True)

    return decorate


def until(what, condition, seconds=20):
    deadline = time.time() + seconds
    while not condition():
        assert time.time() < deadline, "not within %s s: %s" % (seconds, what)
        time.sleep(0.02)


@check("keys")
def _(client):
    assert client.put("k/a", "1")
    assert client.put("k/b", b"\x00\xff")
    assert client.get("k/a") == [b"1"]
    assert client.get("k/none") == []
    assert [v for v, _ in client.get_prefix("k/")] == [b"1", b"\x00\xff"]
    assert [m["key"] for _, m in client.get("k/", range_end=_encode("k0"), metadata=True)] == [b"k/a", b"k/b"]
    assert [v for v, _ in client.get_prefix("k/", sort_order="descend", sort_target="key")] == [b"\x00\xff", b"1"]
    assert len(client.get_all()) >= 2
    assert client.replace("k/a", "1", "2") and not client.replace("k/a", "1", "3")
    assert client.create("k/c", "1") and not client.create("k/c", "2")
    assert client.delete("k/c") and not client.delete("k/c")
    assert client.delete_prefix("k/")


@check("transactions")
def _(client):

    client.put("t/a", "1")
    result = client.transaction(
        {
            "compare": [{"key": _encode("t/a"), "result": "EQUAL", "target": "VALUE", "value": _encode("1")}],
            "success": [{"request_put": {"key": _encode("t/b"), "value": _encode("2")}}],
            "failure": [],
        }
    )
    assert result["succeeded"] and client.get("t/b") == [b"2"]


@check("leases")
def _(client):
    lease = client.lease(ttl=10)
    assert 8 <= lease.ttl() <= 10
    assert client.put("l/a", "1", lease=lease)
    assert lease.keys() == [b"l/a"]
    assert lease.refresh() == 10
    assert lease.revoke()
    assert client.get("l/a") == []
    short = client.lease(ttl=2)
    client.put("l/b", "1", lease=short)
    until("the end of the lease", lambda: client.get("l/b") == [])


@check("locks")
def _(client):
    one, two = client.lock("lock", ttl=20), client.lock("lock", ttl=20)
    assert one.acquire() and one.is_acquired()
    assert not two.acquire()
    assert one.release() and not one.is_acquired()
    assert two.acquire() and two.release()


@check("watch")
def _(client):
    events, cancel = client.watch("w/a")
    threading.Timer(0.3, lambda: (client.put("w/a", "1"), client.delete("w/a"))).start()
    first, second = next(events), next(events)
    assert first["kv"]["value"] == b"1", first
    assert second["type"] == "DELETE" and second["kv"]["key"] == b"w/a", second
    cancel()
    threading.Timer(0.3, lambda: client.put("w/once", "x")).start()
    assert client.watch_once("w/once", timeout=10)["kv"]["value"] == b"x"
    threading.Timer(0.3, lambda: client.put("w/pre/b", "y")).start()
    assert client.watch_prefix_once("w/pre/", timeout=10)["kv"]["key"] == b"w/pre/b"


@check("members and status")
def _(client):
    assert len(list(client.members())) == 3
    status = client.status()
    assert int(status["raftTerm"]) > 0 and status["version"].count(".") == 2
