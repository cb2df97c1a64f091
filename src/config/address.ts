/** A host (name, IPv4, or IPv6 without brackets) and a TCP port. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
}

const hostName =
  /^(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?$/;
const ipv6 = /^[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%[\w.]+)?$/;

/**
 * Reads `host:port`, `[ipv6]:port`, and with a default port also `host`.
 *
 * @throws an Error whose message continues "... but": "it must be ...".
 */
export function parseAddress(text: string, defaultPort?: number): HostPort {
  const bracketed = /^\[([^\]]+)\](?::(\d+))?$/.exec(text);
  const plain = /^([^:[\]]+)(?::(\d+))?$/.exec(text);
  const host = bracketed?.[1] ?? plain?.[1];
  const portText = bracketed?.[2] ?? plain?.[2];
  const form = defaultPort === undefined ? "HOST:PORT" : "HOST or HOST:PORT";
  if (host === undefined || !(bracketed ? ipv6 : hostName).test(host)) {
    throw new Error(`it must be ${form}, with an IPv6 address in square brackets`);
  }
  if (portText === undefined) {
    if (defaultPort === undefined) throw new Error("it must name a port as well, as in HOST:PORT");
    return { host, port: defaultPort };
  }
  const port = Number(portText);
  if (port < 1 || port > 65_535) throw new Error("its port must be between 1 and 65535");
  return { host, port };
}

/** The text `parseAddress` reads. */
export function formatAddress(address: HostPort): string {
  return `${address.host.includes(":") ? `[${address.host}]` : address.host}:${address.port}`;
}

/** Whether a host can only be reached from this machine: `localhost`, 127.0.0.0/8 (RFC 1122) or `::1`. */
export function isLoopbackHost(host: string): boolean {
  const bare = host.replace(/^\[|\]$/g, "").toLowerCase();
  return bare === "localhost" || bare === "::1" || /^127(\.\d{1,3}){3}$/.test(bare);
}

/** Whether a host means "every address of this machine" and so names none that others could call. */
export function isWildcardHost(host: string): boolean {
  return host === "0.0.0.0" || /^[0:]+$/.test(host);
}
