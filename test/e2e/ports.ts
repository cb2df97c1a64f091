import { createServer } from "node:net";

// Below the range that the kernel takes for outgoing connections: a port from there may be in use
// by somebody's client while the member that owns it is down, and the member then cannot restart.
const lowest = 10_240;
const highest = 32_000;
const given = new Set<number>();

/** Ports of 127.0.0.1 that nobody listens on and that this script did not give out before. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) {
    const port = lowest + Math.floor(Math.random() * (highest - lowest));
    if (given.has(port) || !(await canListen(port))) continue;
    given.add(port);
    ports.push(port);
  }
  return ports;
}

export async function freePort(): Promise<number> {
  const [port] = await freePorts(1);
  return port ?? 0;
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
