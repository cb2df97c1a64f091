import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
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
  /** What the sentence must name. */
  readonly names: RegExp;
}

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
    { what: "a wrong flag", args: [...serve, ...client, ...peer, "--no-such-flag"], names: /--no-such-flag/ },
    { what: "a wrong command", args: ["sevre"], names: /sevre/ },
    {
      what: "a number that is none",
      args: [...serve, ...client, ...peer, "--heartbeat-ms", "soon"],
      names: /heartbeat-ms.*soon/s,
    },
    {
      what: "contradicting flags",
      args: [...serve, ...client, ...peer, "--bootstrap", "--join", "127.0.0.1:1"],
      names: /--bootstrap.*--join/s,
    },
    {
      what: "listening beyond loopback",
      args: [...serve, "--listen-client", `0.0.0.0:${clientPort}`, ...peer],
      names: /--insecure|--advertise-client/,
    },
    {
      what: "a client port in use",
      args: [...serve, "--listen-client", `127.0.0.1:${taken}`, ...peer],
      names: new RegExp(`${taken}`),
    },
    {
      what: "a peer port in use",
      args: [...serve, ...client, "--listen-peer", `127.0.0.1:${taken}`],
      names: new RegExp(`${taken}`),
    },
    {
      what: "a data folder under a file",
      args: ["serve", "--name", "wrong", "--data-dir", join(file, "data"), ...client, ...peer],
      names: /a-file/,
    },
    {
      what: "an unwritable data folder",
      args: ["serve", "--name", "wrong", "--data-dir", "/proc/coracle", ...client, ...peer],
      names: /\/proc\/coracle/,
    },
    {
      what: "a token file that does not exist",
      args: [...serve, ...client, ...peer, "--token-file", join(folder, "no-token")],
      names: /no-token/,
    },
    {
      what: "an endpoint that nobody serves",
      args: ["get", "k", "--endpoints", `127.0.0.1:${clientPort}`, "--timeout", "1s"],
      names: new RegExp(`${clientPort}`),
    },
  ];
  for (const { what, args, names } of cases) {
    const ended = await runToEnd([...coracleCommand(), ...args], { timeoutMs: 15_000 });
    const output = ended.stderr + ended.stdout;
    const ok = ended.code !== null && ended.code !== 0 && names.test(output) && isClear(ended.stderr);
    report.check(
      ok,
      `${what}: a clear end with exit code ${ended.code}`,
      ok ? ended.stderr.trim().split("\n")[0] : output.slice(0, 1500),
    );
  }
  occupant.close();
  const left = existsSync(data) ? readdirSync(data) : [];
  report.check(left.length === 0, "no data folder was filled by any of these", left.join(" "));
}
