import { hostname } from "node:os";
import { isLoopbackHost } from "./address.ts";
import type { ServeConfig } from "./serve-config.ts";

/**
 * The names in the Host header by which clients may address this member, against DNS rebinding: a page
 * in a browser on this machine must not reach it by a name of the page's own. `undefined`: any name,
 * as `--client-host-names *` wants it; also beyond loopback when no names are given, where no browser
 * on this machine is needed to reach the port.
 */
export function clientHostNames(
  config: Pick<ServeConfig, "listenClient" | "advertiseClient" | "clientHostNames">,
  machine = hostname(),
): readonly string[] | undefined {
  const { listenClient, advertiseClient, clientHostNames: given } = config;
  if (given.includes("*") || (given.length === 0 && !isLoopbackHost(listenClient.host))) return undefined;
  const [short = ""] = machine.split(".");
  return [...new Set([new URL(advertiseClient).hostname, machine, short, ...given])].filter(Boolean);
}
