import net from "node:net";
import { CoracleError, messageOf } from "../base/errors.ts";
import { type Address, formatAddress } from "../wire/address.ts";

/*
 * The only place that opens sockets: TLS is to be added here. `node:net` is used on both runtimes;
 * Bun's own sockets were no faster in a ping-pong of 300-byte messages (8,600 against 8,200 rounds a
 * second, the same CPU), since the time goes into system calls, which corking saves.
 */

export type Socket = net.Socket;

/** Begins to connect. The caller handles `connect` and `error`. */
export function openSocket(address: Address): Socket {
  return net.connect({ host: address.host, port: address.port, noDelay: true });
}

export interface PeerServer {
  readonly address: Address;
  /** Stops accepting; open sockets stay. */
  close(): Promise<void>;
}

/**
 * Listens for members. Port 0 takes any free port.
 *
 * @throws CoracleError `config_invalid` when the address cannot be listened on.
 */
export function openServer(address: Address, onSocket: (socket: Socket) => void): Promise<PeerServer> {
  const server = net.createServer({ noDelay: true }, onSocket);
  const { promise, resolve, reject } = Promise.withResolvers<PeerServer>();
  server.once("error", (error) => reject(listenError(address, error)));
  server.listen({ host: address.host, port: address.port }, () => {
    const bound = server.address();
    const port = bound !== null && typeof bound === "object" ? bound.port : address.port;
    resolve({ address: { host: address.host, port }, close: () => closeServer(server) });
  });
  return promise;
}

function closeServer(server: net.Server): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  server.close(() => resolve());
  return promise;
}

function listenError(address: Address, error: Error & { code?: string }): CoracleError {
  const place = formatAddress(address);
  if (error.code === "EADDRINUSE") {
    return new CoracleError(
      "config_invalid",
      `Port ${address.port} for members is in use on ${address.host}; choose another with --listen-peer, or stop the program that holds it.`,
      { port: address.port },
    );
  }
  return new CoracleError(
    "config_invalid",
    `The address ${place} for members cannot be listened on: ${messageOf(error)}.`,
  );
}
