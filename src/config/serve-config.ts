import { hostname } from "node:os";
import * as v from "valibot";
import { type Address, formatAddress, parseAddress } from "../wire/address.ts";
import { isLoopbackHost, isWildcardHost } from "./address.ts";
import { serveOptions } from "./options.ts";
import { type ConfigSources, invalid, readSettings, type Settings } from "./settings.ts";
import type { LogLevels } from "./values.ts";

export interface InitialMember {
  readonly name: string;
  /** `host:port` of the peer protocol. */
  readonly address: string;
}

/** Everything `coracle serve` was told, checked and completed. Addresses are `host:port` with the port. */
export interface ServeConfig {
  readonly name: string;
  readonly dataDir: string;
  readonly listenClient: Address;
  readonly listenPeer: Address;
  /** `http://host:port`. */
  readonly advertiseClient: string;
  readonly advertisePeer: string;
  /** Without port; `*` for any. */
  readonly clientHostNames: readonly string[];
  /** Absent without gRPC, as is its URL. */
  readonly listenGrpc?: Address;
  readonly advertiseGrpc?: string;
  readonly insecure: boolean;
  /** Begin a new cluster of one: asked for, or no other way to start was given. Ignored once there is data. */
  readonly bootstrap: boolean;
  readonly join: readonly string[];
  /** Empty, or with this member among them. */
  readonly initialCluster: readonly InitialMember[];
  readonly discoverySrv?: string;
  readonly bootstrapExpect?: number;
  readonly dnsServer?: string;
  readonly tokenFile?: string;
  /** The join token, from `--token-file` or `CORACLE_TOKEN`. Never to be logged. */
  readonly token?: string;
  readonly heartbeatMs: number;
  readonly electionMs: number;
  readonly requestTimeoutMs: number;
  readonly leaderWaitMs: number;
  readonly stopGraceMs: number;
  readonly leaveOnStop: boolean;
  readonly removeDeadAfterMs?: number;
  readonly logEntriesMax: number;
  readonly logBytesMax: number;
  readonly logTailEntries: number;
  readonly valueBytesMax: number;
  /** 0 for no limit. */
  readonly quotaBytes: number;
  /** Absent: only what clients ask for is compacted. */
  readonly compactKeepAgeMs?: number;
  readonly compactKeepRevisions: number;
  /** 0 for no limit. */
  readonly compactRevisionsMax: number;
  readonly logLevel: LogLevels;
  readonly logFormat: "auto" | "json" | "pretty";
}

/**
 * Reads flags, environment and file (in this order of precedence), and checks that they fit together.
 *
 * @throws CoracleError `config_invalid` with one sentence that says what is wrong and what to do.
 */
export function loadServeConfig(sources: ConfigSources): ServeConfig {
  const settings = readSettings(sources);
  const name = settings.name ?? defaultName();
  checkWayToStart(settings);
  checkTiming(settings);
  const advertisePeer = peerAddressFor(settings, name);
  const config: ServeConfig = {
    name,
    dataDir: settings.dataDir ?? `./${name}.coracle`,
    listenClient: settings.listenClient,
    listenPeer: settings.listenPeer,
    advertiseClient: urlFor("client", settings.listenClient, settings.advertiseClient),
    advertisePeer,
    ...grpcFor(settings),
    clientHostNames: settings.clientHostNames ?? [],
    insecure: settings.insecure,
    bootstrap: settings.bootstrap || waysToStart(settings).length === 0,
    join: settings.join ?? [],
    initialCluster: settings.initialCluster ?? [],
    ...optional("discoverySrv", settings.discoverySrv),
    ...optional("bootstrapExpect", settings.bootstrapExpect),
    ...optional("dnsServer", settings.dnsServer),
    ...optional("tokenFile", settings.tokenFile),
    ...optional("token", joinToken(settings, sources)),
    heartbeatMs: settings.heartbeatMs,
    electionMs: settings.electionMs,
    requestTimeoutMs: settings.requestTimeoutMs,
    leaderWaitMs: settings.leaderWaitMs,
    stopGraceMs: settings.stopGraceMs,
    leaveOnStop: settings.leaveOnStop,
    ...optional("removeDeadAfterMs", settings.removeDeadAfterMs),
    logEntriesMax: settings.logEntriesMax,
    logBytesMax: settings.logBytesMax,
    logTailEntries: settings.logTailEntries ?? Math.floor(settings.logEntriesMax / 10),
    valueBytesMax: settings.valueBytesMax,
    quotaBytes: settings.quotaBytes,
    ...(settings.compactKeepAge === "off" ? {} : { compactKeepAgeMs: settings.compactKeepAge }),
    compactKeepRevisions: settings.compactKeepRevisions,
    compactRevisionsMax: settings.compactRevisionsMax,
    logLevel: settings.logLevel,
    logFormat: settings.logFormat,
  };
  checkInitialCluster(config);
  checkExposure(config);
  return config;
}

function optional<K extends string, T>(key: K, value: T | undefined): { [P in K]?: T } {
  return value === undefined ? {} : ({ [key]: value } as { [P in K]: T });
}

function defaultName(): string {
  const short = hostname().split(".")[0] ?? "";
  if (!v.is(serveOptions.name.schema, short)) {
    throw invalid(`The host name "${short}" cannot name a member; choose a name with --name.`);
  }
  return short;
}

function waysToStart(settings: Settings): string[] {
  const ways: string[] = [];
  if (settings.bootstrap) ways.push("--bootstrap");
  if (settings.join !== undefined) ways.push("--join");
  if (settings.initialCluster !== undefined) ways.push("--initial-cluster");
  if (settings.discoverySrv !== undefined) ways.push("--discovery-srv");
  return ways;
}

function checkWayToStart(settings: Settings): void {
  const ways = waysToStart(settings);
  if (ways.length > 1) {
    throw invalid(`${ways.join(" and ")} contradict each other; give one way to start a member.`);
  }
  if (settings.discoverySrv !== undefined && settings.bootstrapExpect === undefined) {
    throw invalid(
      "--discovery-srv needs --bootstrap-expect with the number of members that begin the cluster.",
    );
  }
  for (const [flag, given] of [
    ["--bootstrap-expect", settings.bootstrapExpect],
    ["--dns-server", settings.dnsServer],
  ] as const) {
    if (given !== undefined && settings.discoverySrv === undefined) {
      throw invalid(`${flag} has a meaning only with --discovery-srv; add that or leave ${flag} out.`);
    }
  }
}

function checkTiming(settings: Settings): void {
  const { heartbeatMs, electionMs, leaderWaitMs, requestTimeoutMs } = settings;
  // A follower must not call an election because a few heartbeats were late or lost.
  if (electionMs < 5 * heartbeatMs) {
    throw invalid(
      `--election-ms is ${electionMs} with --heartbeat-ms ${heartbeatMs}, but it must be at least 5 times that: ${5 * heartbeatMs}.`,
    );
  }
  if (leaderWaitMs > requestTimeoutMs) {
    throw invalid(
      `--leader-wait-ms is ${leaderWaitMs}, but it must not be above --request-timeout-ms, which is ${requestTimeoutMs}.`,
    );
  }
  if ((settings.logTailEntries ?? 0) > settings.logEntriesMax) {
    throw invalid(
      `--log-tail-entries is ${settings.logTailEntries}, but it must not be above --log-entries-max, which is ${settings.logEntriesMax}.`,
    );
  }
}

type Side = "client" | "peer" | "grpc";

function urlFor(side: Side, listen: Address, advertise: string | undefined): string {
  const url = advertise ?? `http://${formatAddress(listen)}`;
  if (!isWildcardHost(new URL(url).hostname.replace(/^\[|\]$/g, ""))) return url;
  throw advertiseMissing(advertise === undefined, side, formatAddress(listen), url);
}

function grpcFor({ listenGrpc, advertiseGrpc }: Settings): Pick<ServeConfig, "listenGrpc" | "advertiseGrpc"> {
  if (listenGrpc !== "off") return { listenGrpc, advertiseGrpc: urlFor("grpc", listenGrpc, advertiseGrpc) };
  if (advertiseGrpc === undefined) return {};
  throw invalid(
    "--advertise-grpc has a meaning only with --listen-grpc, which is off; leave one of them out.",
  );
}

function peerAddressFor(settings: Settings, name: string): string {
  const own = settings.initialCluster?.find((member) => member.name === name)?.address;
  const address = settings.advertisePeer ?? own ?? formatAddress(settings.listenPeer);
  if (!isWildcardHost(parseAddress(address).host)) return address;
  throw advertiseMissing(
    settings.advertisePeer === undefined,
    "peer",
    formatAddress(settings.listenPeer),
    address,
  );
}

function advertiseMissing(derived: boolean, side: Side, listen: string, advertised: string) {
  const example = { client: "http://HOST:2379", peer: "HOST:2380", grpc: "http://HOST:2381" }[side];
  return invalid(
    derived
      ? `--listen-${side} ${listen} is every address of this machine; say by --advertise-${side} ${example} which one others are to use.`
      : `--advertise-${side} ${advertised} is no address others can call; name a host, as in ${example}.`,
  );
}

function checkInitialCluster(config: ServeConfig): void {
  const members = config.initialCluster;
  const repeated = (values: readonly string[]) =>
    values.find((item, index) => values.indexOf(item) !== index);
  const name = repeated(members.map((member) => member.name));
  if (name !== undefined)
    throw invalid(`--initial-cluster names ${name} twice; each member has its own name.`);
  const address = repeated(members.map((member) => member.address));
  if (address !== undefined) throw invalid(`--initial-cluster has the address ${address} twice.`);
  if (members.length > 0) {
    const own = members.find((member) => member.name === config.name);
    if (own === undefined) {
      throw invalid(
        `--initial-cluster does not list this member, whose --name is ${config.name}; add it or set --name.`,
      );
    }
    if (own.address !== config.advertisePeer) {
      throw invalid(
        `--initial-cluster gives ${own.address} for ${config.name}, but --advertise-peer is ${config.advertisePeer}; they must be equal.`,
      );
    }
  }
  if (config.join.length > 0 && config.join.every((peer) => peer === config.advertisePeer)) {
    throw invalid(
      `--join names only this member itself (${config.advertisePeer}); name another member of the cluster.`,
    );
  }
  checkPorts(config);
}

/** Every address that is listened on, by its flag. */
function listening({
  listenClient,
  listenPeer,
  listenGrpc,
}: ServeConfig): [flag: string, address: Address][] {
  const always: [string, Address][] = [
    ["--listen-client", listenClient],
    ["--listen-peer", listenPeer],
  ];
  return listenGrpc === undefined ? always : [...always, ["--listen-grpc", listenGrpc]];
}

function checkPorts(config: ServeConfig): void {
  const taken = new Map<string, string>();
  for (const [flag, address] of listening(config)) {
    const text = formatAddress(address);
    const other = taken.get(text);
    if (other !== undefined) throw invalid(`${other} and ${flag} are both ${text}; they need a port each.`);
    taken.set(text, flag);
  }
}

function checkExposure(config: ServeConfig): void {
  for (const [flag, address] of listening(config)) {
    if (!config.insecure && !isLoopbackHost(address.host)) {
      throw invalid(
        `${flag} ${formatAddress(address)} can be reached from other machines without TLS; add --insecure if that network is trusted.`,
      );
    }
  }
  if (config.token !== undefined) return;
  const way = config.initialCluster.length > 0 ? "--initial-cluster" : "--discovery-srv";
  const begins = config.initialCluster.length > 0 || config.discoverySrv !== undefined;
  const addresses = [
    formatAddress(config.listenPeer),
    config.advertisePeer,
    ...config.initialCluster.map((member) => member.address),
  ];
  const exposed = addresses.find((address) => !isLoopbackHost(parseAddress(address).host));
  if (begins && exposed !== undefined) {
    throw invalid(
      `${way} with ${exposed}, beyond loopback, needs a join token: give each member the same --token-file (or CORACLE_TOKEN).`,
    );
  }
}

function joinToken(settings: Settings, sources: ConfigSources): string | undefined {
  const file = settings.tokenFile;
  const fromEnvironment = sources.environment.CORACLE_TOKEN || undefined;
  if (file !== undefined && fromEnvironment !== undefined) {
    throw invalid("Both --token-file and CORACLE_TOKEN are given; give the join token in one place.");
  }
  if (file !== undefined) return sources.readTokenFile(file);
  if (fromEnvironment !== undefined && !/^\S{16,}$/.test(fromEnvironment)) {
    throw invalid(
      "CORACLE_TOKEN does not hold one word of at least 16 characters; it is to be a join token.",
    );
  }
  return fromEnvironment;
}
