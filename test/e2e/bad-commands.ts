import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { exitCodes } from "../../src/cli/exit-codes.ts";
import { coracleCommand } from "./cluster.ts";
import { freePorts } from "./ports.ts";
import { runToEnd } from "./process.ts";
import type { Report } from "./report.ts";

/** One sentence, no stack trace: what a person can act on. */
export function isClear(output: string): boolean {
  const lines = output.trim().split("\n");
  return output.trim() !== "" && lines.length <= 6 && !/^\s+at .*[:(]\d+/m.test(output);
}

interface Case {
  readonly what: string;
  readonly args: readonly string[];
  /** 2: a mistake of the command line, nothing was done. 1: fine words, but it cannot be done now. */
  readonly code: number;
  /** What the sentence must name. */
  readonly names: RegExp;
}

const usage = exitCodes.usage;
/** Of the client: told before anything is sent, so no member need be there. */
const clientCases: readonly Case[] = [
  { what: "a lock without a name", args: ["lock"], code: usage, names: /name/ },
  {
    what: "a lock with a wrong time to wait",
    args: ["lock", "a", "--wait", "soon"],
    code: usage,
    names: /--wait is soon/,
  },
  {
    what: "a lock with a TTL of nothing",
    args: ["lock", "a", "--ttl", "0"],
    code: usage,
    names: /--ttl.*whole number/s,
  },
  { what: "an election without a value", args: ["elect", "a"], code: usage, names: /value is missing/ },
  { what: "a lease without a time", args: ["lease", "grant"], code: usage, names: /ttl/ },
  { what: "a lease of no time", args: ["lease", "grant", "0"], code: usage, names: /whole number from 1/ },
  { what: "a lease that is no number", args: ["lease", "revoke", "x"], code: usage, names: /id of a lease/ },
  { what: "a wrong command of a group", args: ["lease", "grnat", "5"], code: usage, names: /grnat/ },
  { what: "a watch of nothing", args: ["watch"], code: usage, names: /what to watch/ },
  { what: "a watch of two things", args: ["watch", "a", "--all"], code: usage, names: /by one of them/ },
  { what: "a transaction that is no JSON", args: ["txn", "{"], code: usage, names: /not well-formed JSON/ },
  {
    what: "a transaction in a missing file",
    args: ["txn", "@no-such-file"],
    code: usage,
    names: /no-such-file/,
  },
  { what: "a compaction at no revision", args: ["compact", "now"], code: usage, names: /whole number/ },
];

export async function badCommands(report: Report, folder: string): Promise<void> {
  const [clientPort, peerPort, taken = 0] = await freePorts(3);
  const occupant = createServer();
  await new Promise<void>((resolve) => occupant.listen(taken, "127.0.0.1", resolve));
  const data = join(folder, "never-made");
  const file = join(folder, "a-file");
  writeFileSync(file, "not a folder");
  const client = ["--listen-client", `127.0.0.1:${clientPort}`];
  const peer = ["--listen-peer", `127.0.0.1:${peerPort}`, "--listen-grpc", "off"];
  const serve = ["serve", "--name", "wrong", "--data-dir", data];
  const cases: readonly Case[] = [
    ...clientCases,
    {
      what: "a wrong flag",
      code: usage,
      args: [...serve, ...client, ...peer, "--no-such-flag"],
      names: /--no-such-flag/,
    },
    { what: "a wrong command", code: usage, args: ["sevre"], names: /sevre/ },
    {
      what: "a number that is none",
      code: usage,
      args: [...serve, ...client, ...peer, "--heartbeat-ms", "soon"],
      names: /heartbeat-ms.*soon/s,
    },
    {
      what: "contradicting flags",
      code: usage,
      args: [...serve, ...client, ...peer, "--bootstrap", "--join", "127.0.0.1:1"],
      names: /--bootstrap.*--join/s,
    },
    {
      what: "listening beyond loopback",
      code: usage,
      args: [...serve, "--listen-client", `0.0.0.0:${clientPort}`, ...peer],
      names: /--insecure|--advertise-client/,
    },
    {
      what: "a client port in use",
      code: exitCodes.failed,
      args: [...serve, "--listen-client", `127.0.0.1:${taken}`, ...peer],
      names: new RegExp(`${taken}`),
    },
    {
      what: "a peer port in use",
      code: exitCodes.failed,
      args: [...serve, ...client, "--listen-peer", `127.0.0.1:${taken}`],
      names: new RegExp(`${taken}`),
    },
    {
      what: "a data folder under a file",
      code: exitCodes.failed,
      args: ["serve", "--name", "wrong", "--data-dir", join(file, "data"), ...client, ...peer],
      names: /a-file/,
    },
    {
      what: "an unwritable data folder",
      code: exitCodes.failed,
      args: ["serve", "--name", "wrong", "--data-dir", "/proc/coracle", ...client, ...peer],
      names: /\/proc\/coracle/,
    },
    {
      what: "a token file that does not exist",
      code: usage,
      args: [...serve, ...client, ...peer, "--token-file", join(folder, "no-token")],
      names: /no-token/,
    },
    {
      what: "an endpoint that nobody serves",
      code: exitCodes.unavailable,
      args: ["get", "k", "--endpoints", `127.0.0.1:${clientPort}`, "--timeout", "1s"],
      names: new RegExp(`${clientPort}`),
    },
  ];
  for (const { what, args, code, names } of cases) {
    const ended = await runToEnd([...coracleCommand(), ...args], { timeoutMs: 15_000 });
    const output = ended.stderr + ended.stdout;
    const ok = ended.code === code && names.test(output) && isClear(ended.stderr);
    report.check(
      ok,
      `${what}: a clear end with exit code ${code}`,
      ok ? ended.stderr.trim().split("\n")[0] : `exit code ${ended.code}: ${output.slice(0, 1500)}`,
    );
  }
  occupant.close();
  const left = existsSync(data) ? readdirSync(data) : [];
  report.check(left.length === 0, "no data folder was filled by any of these", left.join(" "));
}
