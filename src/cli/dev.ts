import { type DevMember, planMembers, removeEarlierRuns } from "./dev-folder.ts";
import { MemberProcess } from "./dev-process.ts";
import { exitCodes } from "./exit-codes.ts";
import type { Io } from "./io.ts";

export interface DevOptions {
  readonly dataDir: string;
  readonly members: number;
  readonly portBase?: number;
  readonly fresh: boolean;
  readonly logLevel: string;
}

/** ANSI colours of the members' names. */
const colours = [36, 33, 35, 32, 34] as const;
const readyWithinMs = 30_000;
const pollMs = 50;
/** One Ctrl-C can arrive several times, through npm and the terminal; a later one means "now". */
const repeatWindowMs = 1000;
const stopWithinMs = 20_000;

/**
 * Runs a cluster on loopback until Ctrl-C, or until its last member ended.
 *
 * @returns the exit code.
 */
export async function runDev(options: DevOptions, io: Io): Promise<number> {
  if (options.fresh) removeEarlierRuns(options.dataDir);
  const members = await planMembers(options);
  const coloured =
    (io.outputIsTerminal || io.environment.FORCE_COLOR === "1") && io.environment.NO_COLOR === undefined;
  const paint = (code: number, text: string): string => (coloured ? `\x1b[${code}m${text}\x1b[0m` : text);
  const print = (line: string): void => void io.out(`${line}\n`);

  const processes: MemberProcess[] = [];
  const stop = stopper(processes, () => print(paint(1, "Stopping ...")));
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const name of signals) process.on(name, stop.request);

  for (const [index, member] of members.entries()) {
    const label = paint(colours[index] ?? 37, `${member.name} |`);
    const started = new MemberProcess({
      member,
      all: members,
      logLevel: options.logLevel,
      colours: coloured,
      environment: io.environment,
      onLine: (line) => print(`${label} ${line}`),
    });
    processes.push(started);
    void started.ended.then((how) => {
      if (!stop.requested())
        print(`${label} ${paint(31, `${member.name} ${how}; the other members go on.`)}`);
    });
  }
  const allEnded = Promise.all(processes.map((item) => item.ended));
  const going = (): boolean => !stop.requested() && processes.some((item) => item.running);
  await announceWhenReady(members, going, (text) => print(paint(1, text)));
  await allEnded;
  for (const name of signals) process.off(name, stop.request);
  if (stop.requested()) return exitCodes.ok;
  await io.err("coracle: All members ended by themselves; their last lines above say why.\n");
  return exitCodes.failed;
}

function stopper(processes: readonly MemberProcess[], announce: () => void) {
  let firstAtMs: number | undefined;
  const signalAll = (name: "SIGTERM" | "SIGKILL"): void => {
    for (const item of processes) item.signal(name);
  };
  const request = (): void => {
    const nowMs = performance.now();
    if (firstAtMs === undefined) {
      firstAtMs = nowMs;
      announce();
      signalAll("SIGTERM");
      setTimeout(() => signalAll("SIGKILL"), stopWithinMs).unref();
    } else if (nowMs - firstAtMs > repeatWindowMs) signalAll("SIGKILL");
  };
  return { request, requested: () => firstAtMs !== undefined };
}

/** Tells the addresses once every member serves, or after a while which ones do not. */
async function announceWhenReady(
  members: readonly DevMember[],
  going: () => boolean,
  print: (text: string) => void,
) {
  const deadlineMs = performance.now() + readyWithinMs;
  let late: DevMember[] = [...members];
  while (going() && late.length > 0 && performance.now() < deadlineMs) {
    const ready = await Promise.all(late.map(isReady));
    late = late.filter((_, index) => !ready[index]);
    if (late.length > 0) await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
  if (!going()) return;
  if (late.length > 0) {
    const names = late.map((member) => member.name).join(", ");
    print(`Not ready after ${readyWithinMs / 1000} s: ${names}; their lines above say why.`);
    return;
  }
  print(welcome(members));
}

async function isReady(member: DevMember): Promise<boolean> {
  try {
    const response = await fetch(`http://127.0.0.1:${member.clientPort}/readyz`, {
      signal: AbortSignal.timeout(1000),
    });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}

function welcome(members: readonly DevMember[]): string {
  const urls = members.map((member) => `http://127.0.0.1:${member.clientPort}`);
  const url = (index: number): string => urls[index % urls.length] ?? "";
  const count = members.length === 1 ? "1 member" : `${members.length} members`;
  return `
The cluster is ready, ${count}:
${members.map((member, index) => `  ${member.name}  ${urls[index]}  gRPC 127.0.0.1:${member.grpcPort}`).join("\n")}
Try it:
  curl -X PUT ${url(0)}/v1/kv/greeting -d hello
  curl ${url(1)}/v1/kv/greeting
  curl ${url(2)}/v1/status
Ctrl-C ends it; the data stays for the next start.
`;
}
