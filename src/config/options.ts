import * as v from "valibot";
import { limits } from "../base/limits.ts";
import { type Address, formatAddress, parseAddress } from "../wire/address.ts";
import * as value from "./values.ts";

/** Ports by default. */
export const defaultPorts = { client: 2379, peer: 2380, grpc: 2381 } as const;

/** The largest value a member can be told to accept: it and its frame must fit into one peer message. */
const valueBytesCeiling = limits.frameBytesMax / 2;

/**
 * One option of `coracle serve`. Its name is the flag `--name`, the environment variable `CORACLE_NAME`
 * (capitals, underscores) and the key `"name"` in a configuration file.
 */
export interface OptionSpec {
  readonly name: string;
  /** What stands after the flag in the help; absent for a flag without a value. */
  readonly argument?: string;
  readonly schema: v.GenericSchema<unknown, unknown>;
  readonly description: string;
  /** Read by the schema when the option is not given. */
  readonly default?: string | number | boolean;
  /** For people, when the default depends on other things. */
  readonly defaultText?: string;
  readonly example: string;
  /** May be given several times. */
  readonly list?: true;
  /** The heading it stands under in the help and in the manual. */
  readonly group: OptionGroup;
}

export type OptionGroup = "Member" | "Addresses" | "Start" | "Timing" | "Storage" | "Logs";

const name = v.pipe(
  value.text,
  v.regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/,
    "it must be 1 to 63 letters, digits, dots, dashes or underscores, beginning with a letter or digit",
  ),
);

function parseClientUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const bare = url !== undefined && url.pathname === "/" && url.search === "" && url.hash === "";
  if (url === undefined || !bare || url.username !== "" || !/^https?:$/.test(url.protocol)) {
    throw new Error("it must be a URL without a path, such as http://10.0.0.1:2379");
  }
  return url.origin;
}

/** An address whose host was said: digits alone would be read as a host's name, and were meant as a port. */
function parseHosted(text: string, defaultPort: number, exampleHost = "HOST"): Address {
  if (!/^\d+$/.test(text)) return parseAddress(text, defaultPort);
  const port = Number(text);
  throw new Error(
    port >= 1 && port <= 65_535
      ? `"${text}" is a port without a host; write ${exampleHost}:${port}`
      : `"${text}" is neither a host nor a port from 1 to 65535; write HOST:PORT`,
  );
}

/** Where to listen: loopback when nothing else is said. */
function parseListen(text: string, defaultPort: number): Address {
  return parseHosted(text, defaultPort, "127.0.0.1");
}

/** An address, or the word that says: none. */
function parseGrpcAddress(text: string): Address | "off" {
  return text === "off" ? text : parseListen(text, defaultPorts.grpc);
}

function parseInitialMember(text: string) {
  const [memberName = "", address] = text.split("=", 2);
  if (address === undefined) throw new Error("it must be a list of NAME=HOST:PORT");
  if (!v.is(name, memberName)) throw new Error(`"${memberName}" is not a name a member can have`);
  return { name: memberName, address: formatAddress(parseHosted(address, defaultPorts.peer)) };
}

function parseDomain(text: string): string {
  if (!/^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?$/.test(text)) throw new Error("it must be a domain name");
  return text;
}

function parseHostName(text: string): string {
  if (text !== "*" && !/^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/.test(text)) {
    throw new Error("it must be a list of names without port, or * for any");
  }
  return text;
}

const peerAddress = (text: string) => formatAddress(parseHosted(text, defaultPorts.peer));

/** Every option of `coracle serve`; flags, environment, file, help and manual all come from here. */
export const serveOptions = {
  name: {
    name: "name",
    argument: "<name>",
    group: "Member",
    schema: name,
    description: "Name of this member, unique in its cluster.",
    defaultText: "the short host name",
    example: "n1",
  },
  dataDir: {
    name: "data-dir",
    argument: "<folder>",
    group: "Member",
    schema: value.text,
    description: "Folder of this member's data; made when missing.",
    defaultText: "./NAME.coracle",
    example: "/var/lib/coracle",
  },
  listenClient: {
    name: "listen-client",
    argument: "<host:port>",
    group: "Addresses",
    schema: value.parsed((text) => parseListen(text, defaultPorts.client)),
    description: "Where clients connect (HTTP).",
    default: "127.0.0.1:2379",
    example: "10.0.0.1:2379",
  },
  listenPeer: {
    name: "listen-peer",
    argument: "<host:port>",
    group: "Addresses",
    schema: value.parsed((text) => parseListen(text, defaultPorts.peer)),
    description: "Where other members connect.",
    default: "127.0.0.1:2380",
    example: "10.0.0.1:2380",
  },
  listenGrpc: {
    name: "listen-grpc",
    argument: "<host:port>",
    group: "Addresses",
    schema: value.parsed(parseGrpcAddress),
    description: "Where etcd's gRPC clients connect; off for nowhere.",
    default: "127.0.0.1:2381",
    example: "10.0.0.1:2381",
  },
  advertiseClient: {
    name: "advertise-client",
    argument: "<url>",
    group: "Addresses",
    schema: value.parsed(parseClientUrl),
    description: "URL at which clients reach this member.",
    defaultText: "from --listen-client",
    example: "http://node1.example.net:2379",
  },
  advertiseGrpc: {
    name: "advertise-grpc",
    argument: "<url>",
    group: "Addresses",
    schema: value.parsed(parseClientUrl),
    description: "URL at which etcd's gRPC clients reach this member.",
    defaultText: "from --listen-grpc",
    example: "http://node1.example.net:2381",
  },
  advertisePeer: {
    name: "advertise-peer",
    argument: "<host:port>",
    group: "Addresses",
    schema: value.parsed(peerAddress),
    description: "Address at which other members reach this one.",
    defaultText: "from --initial-cluster or --listen-peer",
    example: "node1.example.net:2380",
  },
  clientHostNames: {
    name: "client-host-names",
    argument: "<name,...>",
    group: "Addresses",
    schema: value.list(parseHostName),
    description: "Further names by which clients may address this member in the Host header; * for any.",
    defaultText: "none on loopback, else any",
    example: "coracle.example.net,lb",
    list: true,
  },
  insecure: {
    name: "insecure",
    group: "Addresses",
    schema: value.flagValue,
    description:
      "Allow listening beyond loopback without TLS: whoever reaches the client port can read and write.",
    default: false,
    example: "true",
  },
  bootstrap: {
    name: "bootstrap",
    group: "Start",
    schema: value.flagValue,
    description: "Begin a new cluster of one member (what serve does when no other way is given).",
    default: false,
    example: "true",
  },
  join: {
    name: "join",
    argument: "<host[:port],...>",
    group: "Start",
    schema: value.list(peerAddress),
    description: "Join the cluster of any of these members (peer addresses).",
    example: "10.0.0.1,10.0.0.2:2380",
    list: true,
  },
  initialCluster: {
    name: "initial-cluster",
    argument: "<name=host:port,...>",
    group: "Start",
    schema: value.list(parseInitialMember),
    description: "Begin a new cluster of exactly these members, this one among them; the same list on each.",
    example: "n1=10.0.0.1:2380,n2=10.0.0.2:2380,n3=10.0.0.3:2380",
    list: true,
  },
  discoverySrv: {
    name: "discovery-srv",
    argument: "<domain>",
    group: "Start",
    schema: value.parsed(parseDomain),
    description: "Find the first members by the SRV records _coracle-peer._tcp.DOMAIN.",
    example: "example.net",
  },
  bootstrapExpect: {
    name: "bootstrap-expect",
    argument: "<members>",
    group: "Start",
    schema: value.integer(1, limits.membersMax),
    description: "With --discovery-srv: how many members begin the cluster.",
    example: "3",
  },
  dnsServer: {
    name: "dns-server",
    argument: "<host[:port]>",
    group: "Start",
    schema: value.parsed((text) => formatAddress(parseHosted(text, 53))),
    description: "With --discovery-srv: ask this DNS server instead of the system's.",
    example: "10.0.0.53",
  },
  tokenFile: {
    name: "token-file",
    argument: "<file>",
    group: "Start",
    schema: value.text,
    description: "File with the cluster's join token; CORACLE_TOKEN may hold the token instead.",
    example: "/etc/coracle/token",
  },
  heartbeatMs: {
    name: "heartbeat-ms",
    argument: "<ms>",
    group: "Timing",
    schema: value.integer(10, 60_000, "milliseconds"),
    description: "Time between two heartbeats of the leader.",
    default: 100,
    example: "100",
  },
  electionMs: {
    name: "election-ms",
    argument: "<ms>",
    group: "Timing",
    schema: value.integer(50, 600_000, "milliseconds"),
    description: "Silence of the leader after which a follower calls an election; at least 5 heartbeats.",
    default: 1000,
    example: "1000",
  },
  requestTimeoutMs: {
    name: "request-timeout-ms",
    argument: "<ms>",
    group: "Timing",
    schema: value.integer(100, 600_000, "milliseconds"),
    description: "How long a write waits for its outcome before it is answered as unknown.",
    default: 5000,
    example: "5000",
  },
  leaderWaitMs: {
    name: "leader-wait-ms",
    argument: "<ms>",
    group: "Timing",
    schema: value.integer(0, 600_000, "milliseconds"),
    description: "How long a request waits for a leader before it is refused.",
    default: 3000,
    example: "3000",
  },
  stopGraceMs: {
    name: "stop-grace-ms",
    argument: "<ms>",
    group: "Timing",
    schema: value.integer(0, 600_000, "milliseconds"),
    description: "How long a stop waits for requests in flight.",
    default: 10_000,
    example: "10000",
  },
  leaveOnStop: {
    name: "leave-on-stop",
    group: "Member",
    schema: value.flagValue,
    description: "Leave the cluster for good when stopped by SIGTERM.",
    default: false,
    example: "true",
  },
  removeDeadAfterMs: {
    name: "autopilot-remove-dead",
    argument: "<time>",
    group: "Member",
    schema: value.durationMs(60_000, 30 * 86_400_000),
    description:
      "As leader, remove a member that was unreachable for so long while the others keep a healthy quorum.",
    defaultText: "never",
    example: "24h",
  },
  logEntriesMax: {
    name: "log-entries-max",
    argument: "<entries>",
    group: "Storage",
    schema: value.integer(100, 100_000_000),
    description: "Entries in the Raft log above which a snapshot is made and the log is cut.",
    default: 100_000,
    example: "100000",
  },
  logBytesMax: {
    name: "log-bytes-max",
    argument: "<size>",
    group: "Storage",
    schema: value.bytes(1024 ** 2, 1024 ** 4),
    description: "Size of the Raft log above which a snapshot is made and the log is cut.",
    default: "256MiB",
    example: "256MiB",
  },
  logTailEntries: {
    name: "log-tail-entries",
    argument: "<entries>",
    group: "Storage",
    schema: value.integer(0, 100_000_000),
    description: "Entries kept behind the cut for followers that are a little late.",
    defaultText: "a tenth of --log-entries-max",
    example: "10000",
  },
  quotaBytes: {
    name: "quota",
    argument: "<size>",
    group: "Storage",
    schema: value.bytes(0, 1024 ** 5),
    description:
      "Size of the state above which writes that make it grow are refused; 0 for none. The same on each member.",
    default: "8GiB",
    example: "8GiB",
  },
  compactKeepAge: {
    name: "compact-keep-age",
    argument: "<time>",
    group: "Storage",
    schema: value.durationOrOffMs(1000, 365 * 86_400_000),
    description:
      "Revisions older than this are compacted; off compacts only what clients ask for. The same on each member.",
    default: "1h",
    example: "24h",
  },
  compactKeepRevisions: {
    name: "compact-keep-revisions",
    argument: "<revisions>",
    group: "Storage",
    schema: value.integer(0, 1_000_000_000),
    description: "So many of the newest revisions stay, however old they are.",
    default: 10_000,
    example: "10000",
  },
  compactRevisionsMax: {
    name: "compact-revisions-max",
    argument: "<revisions>",
    group: "Storage",
    schema: value.integer(0, 1_000_000_000_000),
    description: "No more revisions than these stay, however young they are; 0 for no limit.",
    default: 1_000_000,
    example: "1000000",
  },
  valueBytesMax: {
    name: "value-bytes-max",
    argument: "<size>",
    group: "Storage",
    schema: value.bytes(1024, valueBytesCeiling),
    description: "The longest value a client may write; the same on each member.",
    default: "1536KiB",
    example: "1536KiB",
  },
  logLevel: {
    name: "log-level",
    argument: "<levels>",
    group: "Logs",
    schema: value.logLevel,
    description: `${value.logLevels.join(", ")}; also by room, as in info,raft=debug.`,
    default: "info",
    example: "info,raft=debug",
  },
  logFormat: {
    name: "log-format",
    argument: "<format>",
    group: "Logs",
    schema: v.picklist(["auto", "json", "pretty"], "it must be auto, json or pretty"),
    description: "json: one object a line; pretty: for people; auto: pretty on a terminal, else json.",
    default: "auto",
    example: "json",
  },
} as const satisfies Record<string, OptionSpec>;

export type ServeOptionKey = keyof typeof serveOptions;

/** The environment variable of an option. */
export function environmentName(optionName: string): string {
  return `CORACLE_${optionName.toUpperCase().replaceAll("-", "_")}`;
}
