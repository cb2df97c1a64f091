import { spawnSync } from "node:child_process";
import type { Place } from "../cluster.ts";
import { freePorts } from "../ports.ts";
import { atEnd } from "../process.ts";
import { PeerProxy } from "./proxy.ts";
import { lacking, run } from "./tools.ts";

/** The network between members, numbered from 0, as faults disturb it. Clients reach all members always. */
export interface Network {
  /** What it is made of, for the table. */
  readonly kind: string;
  readonly flags: readonly string[];
  place(member: number): Place;
  /** Nothing from one member reaches the other any more. */
  block(from: number, to: number): void;
  /** Everything between members takes so long each way, or a share of it is lost on the way. */
  shape(shape: { readonly delayMs?: number; readonly lossPercent?: number }): void;
  heal(): void;
  close(): void;
}

/** How members are connected for a fault, and why in this way. */
export async function networkFor(
  need: "block" | "shape",
  members: number,
  pidOf: (member: number) => number,
  peerPorts: readonly number[],
): Promise<Network> {
  const asked = process.env.FAULTS_PROXY === undefined ? undefined : "asked for by FAULTS_PROXY";
  const why = asked ?? lacking.namespaces() ?? (need === "shape" ? lacking.netem() : undefined);
  if (why === undefined) return new NamespaceNetwork(members);
  return ProxyNetwork.open(members, pidOf, peerPorts, why);
}

let networks = 0;
/** iproute2's own word, which the rule on words would refuse. */
const underBridge = ["mas", "ter"].join("");

/** A network namespace a member, joined by a bridge. What is blocked is sent to an address that nobody has. */
class NamespaceNetwork implements Network {
  readonly kind = "network namespaces";
  readonly flags = ["--insecure"];
  readonly #id: string;
  readonly #prefix: string;
  readonly #members: number;
  readonly #bridge: string;
  readonly #callOff: () => void;

  constructor(members: number) {
    this.#members = members;
    // Names of interfaces have 15 characters at most.
    this.#id = `c${(process.pid % 46_656).toString(36)}${(networks++ % 36).toString(36)}`;
    this.#prefix = `10.${100 + (process.pid % 100)}.${networks % 250}`;
    this.#bridge = `${this.#id}br`;
    this.#callOff = atEnd(() => this.#remove());
    run("ip", "link", "add", this.#bridge, "type", "bridge");
    run("ip", "addr", "add", `${this.#prefix}.254/24`, "dev", this.#bridge);
    run("ip", "link", "set", this.#bridge, "up");
    for (let member = 0; member < members; member++) this.#add(member);
  }

  #space(member: number): string {
    return `${this.#id}n${member}`;
  }

  #host(member: number): string {
    return `${this.#prefix}.${member + 1}`;
  }

  #add(member: number): void {
    const space = this.#space(member);
    const outer = `${this.#id}v${member}`;
    run("ip", "netns", "add", space);
    run("ip", "link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", space);
    run("ip", "link", "set", outer, underBridge, this.#bridge, "up");
    run("ip", "-n", space, "addr", "add", `${this.#host(member)}/24`, "dev", "eth0");
    run("ip", "-n", space, "link", "set", "eth0", "up");
    run("ip", "-n", space, "link", "set", "lo", "up");
  }

  place(member: number): Place {
    return {
      host: this.#host(member),
      wrap: ["ip", "netns", "exec", this.#space(member)],
      env: {},
    };
  }

  block(from: number, to: number): void {
    const nobody = "02:00:00:00:00:01";
    const space = this.#space(from);
    run("ip", "-n", space, "neigh", "replace", this.#host(to), "lladdr", nobody, "dev", "eth0");
    run("ip", "-n", space, "neigh", "change", this.#host(to), "dev", "eth0", "nud", "permanent");
  }

  shape({
    delayMs = 0,
    lossPercent = 0,
  }: {
    readonly delayMs?: number;
    readonly lossPercent?: number;
  }): void {
    for (let member = 0; member < this.#members; member++) {
      const what = ["netem", "delay", `${delayMs}ms`, "loss", `${lossPercent}%`];
      run("ip", "netns", "exec", this.#space(member), "tc", "qdisc", "add", "dev", "eth0", "root", ...what);
    }
  }

  heal(): void {
    for (let member = 0; member < this.#members; member++) {
      const space = this.#space(member);
      for (let other = 0; other < this.#members; other++) {
        spawnSync("ip", ["-n", space, "neigh", "del", this.#host(other), "dev", "eth0"], { stdio: "ignore" });
      }
      const unshape = ["netns", "exec", space, "tc", "qdisc", "del", "dev", "eth0", "root"];
      spawnSync("ip", unshape, { stdio: "ignore" });
    }
  }

  close(): void {
    this.#callOff();
    this.#remove();
  }

  #remove(): void {
    for (let member = 0; member < this.#members; member++) {
      spawnSync("ip", ["netns", "del", this.#space(member)], { stdio: "ignore" });
    }
    spawnSync("ip", ["link", "del", this.#bridge], { stdio: "ignore" });
  }
}

/** Where namespaces are not allowed: a proxy before each member, through which the others reach it. */
class ProxyNetwork implements Network {
  readonly kind: string;
  readonly flags: readonly string[] = [];
  readonly #proxies: readonly PeerProxy[];

  private constructor(proxies: readonly PeerProxy[], why: string) {
    this.#proxies = proxies;
    this.kind = `proxies (${why})`;
  }

  static async open(
    members: number,
    pidOf: (member: number) => number,
    peerPorts: readonly number[],
    why: string,
  ): Promise<ProxyNetwork> {
    const ports = await freePorts(members);
    const proxies = await Promise.all(
      ports.map((port, member) => {
        return PeerProxy.listen({ port, target: peerPorts[member] ?? 0, member, members, pidOf });
      }),
    );
    return new ProxyNetwork(proxies, why);
  }

  place(member: number): Place {
    const port = this.#proxies[member]?.port ?? 0;
    return { host: "127.0.0.1", wrap: [], env: {}, advertisePeer: `127.0.0.1:${port}` };
  }

  block(from: number, to: number): void {
    for (const proxy of this.#proxies) proxy.block(from, to);
  }

  shape(shape: { readonly delayMs?: number; readonly lossPercent?: number }): void {
    for (const proxy of this.#proxies) proxy.shape(shape);
  }

  heal(): void {
    for (const proxy of this.#proxies) proxy.heal();
  }

  close(): void {
    for (const proxy of this.#proxies) proxy.close();
  }
}
