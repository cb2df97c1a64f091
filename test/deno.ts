import { execFileSync } from "node:child_process";
import { join } from "node:path";

/**
 * The path of Deno's own executable, as it says itself. Where no install script ran, the installed
 * command is a wrapper that starts Deno as its child: to kill the wrapper would leave the child alive.
 */
export function denoExecutable(): string {
  const installed = join(import.meta.dirname, "..", "node_modules", ".bin", "deno");
  return execFileSync(installed, ["eval", "console.log(Deno.execPath())"], { encoding: "utf8" }).trim();
}
