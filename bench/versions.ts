import { coracleCommand } from "../test/e2e/cluster.ts";
import { runToEnd } from "../test/e2e/process.ts";

/** The etcd to compare with: Debian's, or the one that ETCD_BIN names. */
export const etcdBinary = process.env.ETCD_BIN ?? "/usr/bin/etcd";

/** With the commit that it was built from. */
export async function coracleVersion(): Promise<string> {
  const { stdout, code } = await runToEnd([...coracleCommand(), "--version"]);
  const [first = ""] = stdout.trim().split("\n");
  return code === 0 && first !== "" ? first.replace(/^coracle /, "") : "unknown";
}

/** @throws Error when it is not there. */
export async function etcdVersion(): Promise<string> {
  const { stdout, code, stderr } = await runToEnd([etcdBinary, "--version"]);
  if (code !== 0)
    throw new Error(`${etcdBinary} does not run (ETCD_BIN, or Debian's etcd-server): ${stderr.trim()}`);
  return /etcd Version: (\S+)/.exec(stdout)?.[1] ?? "unknown";
}
