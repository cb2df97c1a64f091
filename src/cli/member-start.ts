import { existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { getLogger } from "@logtape/logtape";
import { systemClock } from "../base/clock.ts";
import { CoracleError } from "../base/errors.ts";
import type { MemberRecord } from "../base/members.ts";
import type { ServeConfig } from "../config/serve-config.ts";
import type { Ask } from "../discovery/ask.ts";
import { type BootstrapTarget, bootstrap, foundAlone } from "../discovery/bootstrap.ts";
import { BootstrapDesk, type BootstrapDeskOptions } from "../discovery/bootstrap-desk.ts";
import { BootstrapFile } from "../discovery/bootstrap-file.ts";
import { requestJoin } from "../discovery/join.ts";
import { resolveSrv } from "../discovery/srv.ts";
import { joinCommand, makeToken, readTokenFile, writeTokenFile } from "../discovery/token.ts";
import { StateMachine } from "../kv/state-machine.ts";
import { fileNames } from "../storage/files.ts";
import type { LogStart } from "../storage/log-create.ts";
import { SqliteLogStore } from "../storage/sqlite-log.ts";
import { StateFiles } from "../storage/state-files.ts";
import type { Identity } from "../storage/types.ts";
import { type JoinRequest, parseBody, probeResponseSchema } from "../wire/requests.ts";

const log = getLogger(["coracle", "start"]);

/** Every member of a new cluster begins with this much of a log: no joiner's empty log fits to it. */
const foundation: LogStart = { index: 1, term: 1, hardState: { term: 1, votedFor: 0, commit: 1 } };
/** A joiner knows nothing yet, and waits for a snapshot. */
const nothing: LogStart = { index: 0, term: 0, hardState: { term: 0, votedFor: 0, commit: 0 } };

/** A member that is about to run: who it is, and with what its state begins if it has none. */
export interface MemberStart {
  readonly identity: Identity;
  readonly members: readonly MemberRecord[];
  readonly logStart: LogStart;
}

/** What other processes are told about this one. */
export function selfOf(config: ServeConfig): JoinRequest {
  return {
    name: config.name,
    peerAddress: config.advertisePeer,
    clientUrls: [config.advertiseClient],
    grpcUrls: [],
  };
}

function tokenPath(config: ServeConfig): string {
  return join(config.dataDir, "token");
}

/**
 * The cluster's join token: as given, or as made at this folder's first start. A new cluster of one
 * makes it here, so that it is on disk before anybody could use it.
 */
export function joinToken(config: ServeConfig): string | undefined {
  if (config.token !== undefined) return config.token;
  const path = tokenPath(config);
  if (existsSync(path)) return readTokenFile(path);
  if (!config.bootstrap || SqliteLogStore.exists(config.dataDir)) return undefined;
  makeDataFolder(config);
  const token = makeToken();
  writeTokenFile(path, token);
  return token;
}

export function makeDataFolder({ dataDir }: ServeConfig): void {
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CoracleError(
      "config_invalid",
      `The data folder ${dataDir} cannot be made (${reason}); choose another with --data-dir.`,
    );
  }
}

/** Keeps the plan of a bootstrap, and answers others who begin or look for a cluster. */
export function openDesk(config: ServeConfig, instance: string, known: Identity | undefined): BootstrapDesk {
  const standing: BootstrapDeskOptions["standing"] =
    known !== undefined ? { clusterId: known.clusterId } : config.join.length > 0 ? "joining" : "bootstrap";
  return new BootstrapDesk({
    self: selfOf(config),
    instance,
    store: new BootstrapFile(config.dataDir),
    standing,
  });
}

/** How a member without data comes to its cluster; takes as long as the others need to be there. */
export async function firstStart(
  config: ServeConfig,
  desk: BootstrapDesk,
  ask: Ask,
  signal: AbortSignal,
): Promise<MemberStart> {
  if (config.join.length > 0) return joinCluster(config, config.join, ask, signal);
  const founding = foundingTargets(config);
  const result =
    founding === undefined
      ? foundAlone(desk)
      : await bootstrap({ desk, ask, clock: systemClock, signal, ...founding });
  if (result.kind === "existing") {
    log.info("The cluster {clusterId} exists already; joining it.", { clusterId: result.clusterId });
    return joinCluster(config, result.addresses, ask, signal);
  }
  const { clusterId, memberId, members } = result;
  return { identity: { clusterId, memberId, name: config.name }, members, logStart: foundation };
}

interface Founding {
  readonly targets: () => Promise<readonly BootstrapTarget[]>;
  readonly expected: number;
}

function foundingTargets(config: ServeConfig): Founding | undefined {
  const { initialCluster, discoverySrv: domain, bootstrapExpect, dnsServer } = config;
  if (initialCluster.length > 0) {
    return { targets: () => Promise.resolve(initialCluster), expected: initialCluster.length };
  }
  if (domain === undefined || bootstrapExpect === undefined) return undefined;
  const query = { domain, ...(dnsServer === undefined ? {} : { dnsServer }) };
  return {
    targets: async () => (await resolveSrv(query)).map((address) => ({ address })),
    expected: bootstrapExpect,
  };
}

async function joinCluster(
  config: ServeConfig,
  addresses: readonly string[],
  ask: Ask,
  signal: AbortSignal,
): Promise<MemberStart> {
  const { clusterId, memberId, members } = await requestJoin({
    ask,
    clock: systemClock,
    addresses,
    self: selfOf(config),
    signal,
  });
  log.info("Admitted to the cluster {clusterId} as member {memberId}.", { clusterId, memberId });
  return { identity: { clusterId, memberId, name: config.name }, members, logStart: nothing };
}

/** Data of another member or cluster in the folder is a mistake to be told before anything is sent. */
export async function checkKnownIdentity(config: ServeConfig, identity: Identity, ask: Ask): Promise<void> {
  if (identity.name !== config.name) {
    throw new CoracleError(
      "config_invalid",
      `The data folder ${config.dataDir} belongs to the member "${identity.name}", not to "${config.name}"; use --name ${identity.name} or another --data-dir.`,
    );
  }
  for (const address of config.join) {
    const clusterId = await clusterAt(address, ask);
    if (clusterId === undefined || clusterId === identity.clusterId) continue;
    throw new CoracleError(
      "config_invalid",
      `The data folder ${config.dataDir} belongs to cluster ${identity.clusterId}, but ${address} is in cluster ${clusterId}; use another --data-dir, or delete this one to join anew.`,
    );
  }
}

/** The cluster of whoever answers there, or `undefined`: a member that is down is no mistake. */
async function clusterAt(address: string, ask: Ask): Promise<number | undefined> {
  try {
    const body = await ask(address, "probe", null, { timeoutMs: 500 });
    const probe = parseBody(probeResponseSchema, body, "answer to a probe");
    return probe.state === "initialised" ? probe.clusterId : undefined;
  } catch {
    return undefined;
  }
}

/** Tells the operator of a new cluster how others join it. */
export function joinAnnouncement(config: ServeConfig, token: string | undefined): string {
  if (token === undefined) return "";
  const path = tokenPath(config);
  const command = joinCommand({ peerAddress: config.advertisePeer, tokenFile: path });
  return `join token: ${token} (in ${path})\nto join from another host: ${command}\n`;
}

/** The state as it was left. */
export function openState(dir: string, files: StateFiles): StateMachine {
  if (StateFiles.exists(dir)) return StateMachine.open(files.open());
  throw new CoracleError(
    "storage_damaged",
    `${join(dir, "state.db")} is missing beside raft.db; delete the folder ${dir} and start this member with --join, so that it gets the data from the others.`,
  );
}

/** The first state of a member. What a start left behind that broke off before is made anew. */
export function createState(dir: string, files: StateFiles, start: MemberStart): StateMachine {
  if (StateFiles.exists(dir)) {
    const left = StateMachine.open(files.open());
    const { appliedIndex } = left;
    left.close();
    if (appliedIndex > foundation.index) {
      throw new CoracleError(
        "storage_damaged",
        `${join(dir, "raft.db")} is missing beside state.db, which holds the state at index ${appliedIndex}; restore it, or delete the folder ${dir} and start this member with --join.`,
      );
    }
    for (const suffix of ["", "-wal", "-shm"])
      rmSync(join(dir, `${fileNames.state}${suffix}`), { force: true });
  }
  const { identity, members, logStart } = start;
  const membership = { clusterId: identity.clusterId, members, removed: [] };
  return StateMachine.create(files.open(), { membership, index: logStart.index, term: logStart.term });
}
