import { CoracleError } from "../base/errors.ts";

export interface Address {
  /** A name or an IP address, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
}

const forms = /^(?:\[([^\][]+)\]|([^:[\]/\s@]+))(?::(\d{1,5}))?$/;

/**
 * Reads `HOST:PORT`, `[IPV6]:PORT`, or without port when there is a default.
 *
 * @throws CoracleError `config_invalid`.
 */
export function parseAddress(text: string, defaultPort?: number): Address {
  const match = forms.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = match?.[3] === undefined ? defaultPort : Number(match[3]);
  if (host === undefined || (match?.[1] !== undefined && !host.includes(":"))) {
    throw new CoracleError(
      "config_invalid",
      `"${text}" is no address; write HOST:PORT, or [IPV6]:PORT with the brackets.`,
    );
  }
  if (port === undefined) {
    throw new CoracleError("config_invalid", `"${text}" names no port; write ${host}:PORT.`);
  }
  if (port < 1 || port > 65_535) {
    throw new CoracleError(
      "config_invalid",
      `"${text}" has port ${port}; a port is a number from 1 to 65535.`,
    );
  }
  return { host, port };
}

/** The text that `parseAddress` reads. */
export function formatAddress({ host, port }: Address): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
