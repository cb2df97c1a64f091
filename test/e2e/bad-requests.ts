import { connect } from "node:net";
import { limits } from "../../src/base/limits.ts";
import { codeOf, keyPath } from "./client.ts";
import type { Member } from "./cluster.ts";
import { HttpConnection, type HttpRequest } from "./http.ts";
import type { Report } from "./report.ts";
import { until } from "./wait.ts";

interface Case extends HttpRequest {
  readonly what: string;
  readonly status: number;
  readonly code: string;
}

const some = Buffer.from("value");
const json = { "Content-Type": "application/json" };
const put = { method: "PUT", body: some } as const;

const cases: readonly Case[] = [
  {
    ...put,
    what: "a key over the limit",
    path: keyPath("k".repeat(limits.keyBytesMax + 1)),
    status: 413,
    code: "key_too_large",
  },
  { ...put, what: "an empty key", path: "/v1/kv/", status: 400, code: "key_empty" },
  { ...put, what: "broken percent-encoding", path: "/v1/kv/a%zz", status: 400, code: "invalid_argument" },
  {
    ...put,
    what: "a value over the limit",
    path: "/v1/kv/a",
    body: Buffer.alloc(limits.valueBytesMax + 1),
    status: 413,
    code: "value_too_large",
  },
  {
    ...put,
    what: "an unknown parameter",
    path: "/v1/kv/a?consitency=serializable",
    status: 400,
    code: "unknown_parameter",
  },
  {
    ...put,
    what: "a parameter with a wrong value",
    path: "/v1/kv/a?prev=perhaps",
    status: 400,
    code: "invalid_argument",
  },
  {
    ...put,
    what: "a parameter given twice",
    path: "/v1/kv/a?prev=true&prev=true",
    status: 400,
    code: "invalid_argument",
  },
  {
    ...put,
    what: "If-Match that is no revision",
    path: "/v1/kv/a",
    headers: { "If-Match": '"abc"' },
    status: 400,
    code: "invalid_argument",
  },
  {
    ...put,
    what: "If-Match without quotes",
    path: "/v1/kv/a",
    headers: { "If-Match": "12" },
    status: 400,
    code: "invalid_argument",
  },
  {
    ...put,
    what: "a condition that does not hold",
    path: "/v1/kv/a",
    headers: { "If-Match": '"999999"' },
    status: 412,
    code: "precondition_failed",
  },
  {
    method: "GET",
    what: "an unknown consistency",
    path: "/v1/kv/a?consistency=eventual",
    status: 400,
    code: "invalid_argument",
  },
  { method: "GET", what: "a missing key", path: "/v1/kv/missing", status: 404, code: "not_found" },
  {
    method: "GET",
    what: "a revision of the future",
    path: "/v1/kv/a?revision=99999999",
    status: 400,
    code: "revision_future",
  },
  {
    method: "GET",
    what: "a cursor nobody gave",
    path: "/v1/kv?cursor=x",
    status: 400,
    code: "invalid_argument",
  },
  {
    method: "GET",
    what: "an Accept that nothing meets",
    path: "/v1/members",
    headers: { Accept: "image/png" },
    status: 406,
    code: "not_acceptable",
  },
  {
    method: "DELETE",
    what: "a delete of everything by mistake",
    path: "/v1/kv?prefix=",
    status: 400,
    code: "invalid_argument",
  },
  {
    method: "POST",
    what: "JSON that does not parse",
    path: "/v1/txn",
    headers: json,
    body: Buffer.from('{"compare": ['),
    status: 400,
    code: "malformed_body",
  },
  {
    method: "POST",
    what: "CBOR that does not parse",
    path: "/v1/txn",
    headers: { "Content-Type": "application/cbor" },
    body: Buffer.from([0xbf, 0x61]),
    status: 400,
    code: "malformed_body",
  },
  {
    method: "POST",
    what: "JSON of another shape",
    path: "/v1/txn",
    headers: json,
    body: Buffer.from('{"compere": []}'),
    status: 400,
    code: "invalid_argument",
  },
  {
    method: "POST",
    what: "a body of a type not read here",
    path: "/v1/txn",
    headers: { "Content-Type": "text/plain" },
    body: Buffer.from("{}"),
    status: 415,
    code: "unsupported_media_type",
  },
  {
    method: "POST",
    what: "a wrong method",
    path: "/v1/kv/a",
    headers: json,
    body: some,
    status: 405,
    code: "method_not_allowed",
  },
  { method: "GET", what: "a path that does not exist", path: "/v1/nothing", status: 404, code: "not_found" },
  {
    method: "DELETE",
    what: "a member that does not exist",
    path: "/v1/members/nobody",
    status: 404,
    code: "member_not_found",
  },
];

const posted = (path: string, body: string) =>
  ({ method: "POST", path, headers: json, body: Buffer.from(body) }) as const;

/** Leases, locks, elections, watches: each route once or more. */
const coordinationCases: readonly Case[] = [
  { ...posted("/v1/leases", "{}"), what: "a lease without a TTL", status: 400, code: "invalid_argument" },
  {
    ...posted("/v1/leases", '{"ttl": 9000000001}'),
    what: "a TTL too large",
    status: 400,
    code: "lease_ttl_too_large",
  },
  {
    ...posted("/v1/leases", '{"ttl": 60, "tll": 1}'),
    what: "an unknown field of a lease",
    status: 400,
    code: "invalid_argument",
  },
  { ...posted("/v1/leases", "{"), what: "a lease in broken JSON", status: 400, code: "malformed_body" },
  {
    method: "GET",
    path: "/v1/leases/x",
    what: "a lease that is no number",
    status: 400,
    code: "invalid_argument",
  },
  {
    method: "GET",
    path: "/v1/leases/77",
    what: "a lease that does not exist",
    status: 404,
    code: "lease_not_found",
  },
  {
    method: "DELETE",
    path: "/v1/leases/77",
    what: "the end of a lease that does not exist",
    status: 404,
    code: "lease_not_found",
  },
  {
    ...posted("/v1/leases/77/keep-alive", ""),
    what: "the renewal of a lease that does not exist",
    status: 404,
    code: "lease_not_found",
  },
  {
    ...put,
    path: "/v1/kv/a?lease=77",
    what: "a put with a lease that does not exist",
    status: 404,
    code: "lease_not_found",
  },
  { ...posted("/v1/locks/", "{}"), what: "a lock without a name", status: 400, code: "key_empty" },
  {
    ...posted("/v1/locks/a", '{"lease": 77}'),
    what: "a lock on a lease that does not exist",
    status: 404,
    code: "lease_not_found",
  },
  {
    ...posted("/v1/locks/a", '{"ttl": 5, "lease": 77}'),
    what: "a lock on a lease and on a new one",
    status: 400,
    code: "invalid_argument",
  },
  {
    ...posted("/v1/locks/a", '{"wait_ms": -1}'),
    what: "a lock with a wait before now",
    status: 400,
    code: "invalid_argument",
  },
  {
    method: "DELETE",
    path: "/v1/locks/a",
    what: "the release of nobody's lock",
    status: 400,
    code: "invalid_argument",
  },
  {
    method: "GET",
    path: "/v1/elections/none",
    what: "an election without a leader",
    status: 404,
    code: "not_found",
  },
  {
    ...posted("/v1/elections/a", '{"value": 5}'),
    what: "a candidate with a number as its value",
    status: 400,
    code: "invalid_argument",
  },
  {
    method: "PUT",
    path: "/v1/elections/a",
    headers: json,
    body: Buffer.from('{"lease": 77, "fencing_revision": 3, "value": "x"}'),
    what: "a proclamation of one that does not lead",
    status: 412,
    code: "precondition_failed",
  },
  {
    method: "DELETE",
    path: "/v1/elections/a?lease=77",
    what: "a resignation without its revision",
    status: 400,
    code: "invalid_argument",
  },
  {
    ...posted("/v1/compact", '{"revision": 99999999}'),
    what: "a compaction in the future",
    status: 400,
    code: "revision_future",
  },
  {
    ...posted("/v1/compact", '{"revision": 0}'),
    what: "a compaction at nothing",
    status: 400,
    code: "invalid_argument",
  },
  {
    method: "GET",
    path: "/v1/watch?key=a&prefix=b",
    what: "a watch of two things",
    status: 400,
    code: "invalid_argument",
  },
  {
    method: "GET",
    path: "/v1/watch?revision=x",
    what: "a watch from no revision",
    status: 400,
    code: "invalid_argument",
  },
  {
    method: "GET",
    path: "/v1/watch?kye=a",
    what: "a watch with an unknown parameter",
    status: 400,
    code: "unknown_parameter",
  },
];

/** Sends bytes as they are, closes the sending side, and gives what came back until the end. */
function sendBytes(endpoint: string, bytes: Buffer): Promise<string> {
  const [host = "", port = ""] = endpoint.split(":");
  return new Promise((resolve) => {
    let received = "";
    const socket = connect({ host, port: Number(port) }, () => socket.end(bytes));
    socket.on("data", (chunk: Buffer) => {
      received += chunk.toString("latin1");
    });
    socket.once("error", () => resolve(received));
    socket.once("close", () => resolve(received));
    socket.setTimeout(5_000, () => socket.destroy());
  });
}

export async function badRequests(report: Report, member: Member): Promise<void> {
  const before = (await member.head()).revision;
  for (const { what, status, code, ...request } of [...cases, ...coordinationCases]) {
    const connection = new HttpConnection(member.endpoint);
    try {
      const response = await connection.request(request);
      const problem = JSON.parse(response.body.toString() || "{}") as Record<string, unknown>;
      const type = response.headers.get("content-type") ?? "";
      const clear = typeof problem.detail === "string" && /^[A-Z].*\.$/s.test(problem.detail);
      const ok =
        response.status === status &&
        problem.code === code &&
        clear &&
        type.startsWith("application/problem+json");
      report.check(
        ok,
        `${what}: ${status} ${code}`,
        ok ? "" : `got ${response.status} ${codeOf(response)} (${type}): ${response.body}`,
      );
    } catch (error) {
      report.check(false, `${what}: ${status} ${code}`, String(error));
    } finally {
      connection.close();
    }
  }
  const early = "PUT /v1/kv/early HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nonly this";
  await sendBytes(member.endpoint, Buffer.from(early));
  const garbage = Buffer.from(Array.from({ length: 4096 }, (_, i) => (i * 131 + 7) % 256));
  await sendBytes(member.endpoint, garbage);
  await sendBytes(member.peerAddress, garbage);
  await sendBytes(member.peerAddress, Buffer.from([0xff, 0xff, 0xff, 0xff, 0, 0]));
  const connection = new HttpConnection(member.endpoint);
  const read = await until("an answer after garbage", () =>
    connection.request({ method: "GET", path: keyPath("early") }),
  );
  connection.close();
  report.equal(read.status, 404, "a body that ends early changes nothing, and the member goes on");
  report.equal((await member.head()).revision, before, "the revision is as before all of these");
}
