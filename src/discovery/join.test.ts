import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { systemClock } from "../base/clock.ts";
import { CoracleError } from "../base/errors.ts";
import type { Ask } from "./ask.ts";
import { requestJoin } from "./join.ts";

const self = { name: "n4", peerAddress: "d:1", clientUrls: [], grpcUrls: [] };
const admitted = { clusterId: 1, memberId: 4, members: [] };

function join(answers: Record<string, () => unknown>, signal?: AbortSignal) {
  const asked: string[] = [];
  const ask: Ask = async (address, name, body) => {
    assert.equal(name, "join");
    assert.deepEqual(body, self);
    asked.push(address);
    const answer = answers[address];
    if (answer === undefined) throw new CoracleError("not_proposed", `${address} was not reached.`);
    return answer();
  };
  const addresses = ["a:1", "b:1"];
  const result = requestJoin({
    ask,
    clock: systemClock,
    addresses,
    self,
    retryMs: 1,
    ...(signal && { signal }),
  });
  return { asked, result };
}

const noLeader = () => {
  throw new CoracleError("no_leader", "there is none");
};

describe("a request to join", () => {
  test("goes to the next address", async () => {
    const { asked, result } = join({ "b:1": () => admitted });
    assert.deepEqual(await result, { clusterId: 1, memberId: 4, members: [] });
    assert.deepEqual(asked, ["a:1", "b:1"]);
  });

  test("waits for a leader", async () => {
    let rounds = 0;
    const { result } = join({ "a:1": () => (++rounds < 5 ? noLeader() : admitted) });
    assert.equal((await result).memberId, 4);
  });

  test("ends when the name is taken, the token is wrong or the answer is nonsense", async () => {
    const fails = (error: CoracleError, code: string) =>
      assert.rejects(
        join({
          "a:1": () => {
            throw error;
          },
        }).result,
        { code },
      );
    await fails(new CoracleError("name_taken", "n4 is taken"), "name_taken");
    await fails(new CoracleError("peer_refused", "wrong", { reason: "token" }), "peer_refused");
    await assert.rejects(join({ "a:1": () => ({ memberId: "maybe" }) }).result, { code: "malformed_body" });
  });

  test("goes on after refusals that pass", async () => {
    let attempts = 0;
    const { result } = join({
      "a:1": () => {
        attempts++;
        if (attempts === 1) throw new CoracleError("peer_refused", "busy", { reason: "busy" });
        if (attempts === 2) throw new CoracleError("membership_change_in_progress", "wait");
        if (attempts === 3) throw new CoracleError("outcome_unknown", "lost");
        return admitted;
      },
    });
    assert.equal((await result).memberId, 4);
  });

  test("ends with the process", async () => {
    const stop = new AbortController();
    const { result } = join({}, stop.signal);
    stop.abort();
    await assert.rejects(result, { code: "shutting_down" });
  });
});
