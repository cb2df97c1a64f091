import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { atEnd } from "../process.ts";

/** Runs a short command. @throws Error with what it printed when it fails. */
export function run(program: string, ...args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: "utf8" });
  if (status === 0) return stdout;
  throw new Error(`${program} ${args.join(" ")}: ${error?.message ?? stderr.trim()}`);
}

export function succeeds(program: string, ...args: string[]): boolean {
  return spawnSync(program, args, { stdio: "ignore" }).status === 0;
}

const isRoot = process.getuid?.() === 0;

/** Debian's package of a tool is installed when it is missing and may be; else the reason why not. */
function missing(name: string, isThere: () => boolean): string | undefined {
  if (isThere()) return undefined;
  if (!isRoot || !existsSync("/usr/bin/apt-get")) return `Debian's package ${name} is not installed`;
  console.log(`     installing Debian's package ${name}`);
  const { status } = spawnSync("apt-get", ["install", "-y", "-q", name], {
    stdio: "ignore",
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
  });
  return status === 0 && isThere() ? undefined : `Debian's package ${name} could not be installed`;
}

function remembered(find: () => string | undefined): () => string | undefined {
  let answer: { readonly reason: string | undefined } | undefined;
  return () => {
    answer ??= { reason: find() };
    return answer.reason;
  };
}

const faketimePaths = ["x86_64-linux-gnu", "aarch64-linux-gnu"].map(
  (machine) => `/usr/lib/${machine}/faketime/libfaketime.so.1`,
);

export function faketimeLibrary(): string | undefined {
  return faketimePaths.find((path) => existsSync(path));
}

/** Why something cannot be done here; `undefined` when it can. Each is found out once. */
export const lacking = {
  strace: remembered(
    () =>
      missing("strace", () => succeeds("strace", "-V")) ??
      (succeeds("strace", "-e", "trace=none", "true") ? undefined : "tracing of processes is not allowed"),
  ),
  faketime: remembered(() => missing("faketime", () => faketimeLibrary() !== undefined)),
  mount: remembered(() => (isRoot ? undefined : "mounting a small file system needs root")),
  namespaces: remembered(() => {
    const why = isRoot ? missing("iproute2", () => succeeds("ip", "-V")) : "network namespaces need root";
    if (why !== undefined) return why;
    const name = `corprobe${process.pid}`;
    if (!succeeds("ip", "netns", "add", name)) return "network namespaces are not allowed";
    run("ip", "netns", "del", name);
    return undefined;
  }),
  netem: remembered(() => {
    const name = `cp${process.pid}`.slice(0, 15);
    if (!succeeds("ip", "link", "add", name, "type", "bridge")) return "interfaces cannot be made";
    const shaped = succeeds("tc", "qdisc", "add", "dev", name, "root", "netem", "delay", "1ms");
    run("ip", "link", "del", name);
    return shaped ? undefined : "the kernel has no netem";
  }),
};

/** A file system of its own in a folder, gone when the script ends. Gives what takes it away before. */
export function mountSmall(folder: string, mebibytes: number): () => void {
  run("mount", "-t", "tmpfs", "-o", `size=${mebibytes}m,mode=0700`, "none", folder);
  const unmount = (): void => {
    spawnSync("umount", ["-l", folder], { stdio: "ignore" });
  };
  const callOff = atEnd(unmount);
  return () => {
    callOff();
    unmount();
  };
}
