import { Resolver } from "node:dns/promises";
import { CoracleError, messageOf } from "../base/errors.ts";
import { formatAddress, parseAddress } from "../wire/address.ts";

export interface SrvOptions {
  /** Asks for `_SERVICE._tcp.DOMAIN`; `coracle-peer` unless told otherwise. */
  readonly service?: string;
  readonly domain: string;
  /** `host[:port]` of the name server to ask instead of the system's; an IP address. */
  readonly dnsServer?: string;
  readonly timeoutMs?: number;
}

/**
 * The addresses that a domain's SRV records (RFC 2782) name, `host:port`, sorted. With a name
 * server of its own the hosts are IP addresses: the system may not know their names.
 *
 * @throws CoracleError `config_invalid` when the domain has no such record, `not_proposed` when the
 *   name server cannot be asked now.
 */
export async function resolveSrv(options: SrvOptions): Promise<string[]> {
  const resolver = new Resolver({ timeout: options.timeoutMs ?? 2_000, tries: 2 });
  if (options.dnsServer !== undefined) resolver.setServers([serverAddress(options.dnsServer)]);
  const name = `_${options.service ?? "coracle-peer"}._tcp.${options.domain}`;
  const records = await lookUp(resolver, name);
  const addresses = new Set<string>();
  for (const record of records) {
    const host = record.name.replace(/\.$/, "");
    // RFC 2782: a target of "." says that the service is not offered here.
    if (host === "") continue;
    const reached = options.dnsServer === undefined ? host : await hostAddress(resolver, host);
    addresses.add(formatAddress({ host: reached, port: record.port }));
  }
  if (addresses.size === 0) throw noRecords(name);
  return [...addresses].sort();
}

function serverAddress(text: string): string {
  const address = parseAddress(text, 53);
  return formatAddress(address);
}

async function lookUp(resolver: Resolver, name: string) {
  try {
    return await resolver.resolveSrv(name);
  } catch (error) {
    if (isMissing(error)) throw noRecords(name);
    throw new CoracleError(
      "not_proposed",
      `The SRV records ${name} cannot be asked for now: ${messageOf(error)}.`,
    );
  }
}

async function hostAddress(resolver: Resolver, host: string): Promise<string> {
  for (const family of ["resolve4", "resolve6"] as const) {
    try {
      const [first] = await resolver[family](host);
      if (first !== undefined) return first;
    } catch {
      // The other family may have one; else the system's resolver is asked with the name.
    }
  }
  return host;
}

function isMissing(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "ENOTFOUND" || code === "ENODATA" || code === "DNS_ENODATA" || code === "DNS_ENOTFOUND";
}

function noRecords(name: string): CoracleError {
  return new CoracleError(
    "config_invalid",
    `There are no SRV records ${name}; add one a member, with the host and port of its peer address.`,
  );
}
