import { closeSync, existsSync, mkdirSync, openSync, readSync, rmSync } from "node:fs";
import { join } from "node:path";
import { getLogger } from "@logtape/logtape";
import { systemClock } from "../base/clock.ts";
import { CoracleError, messageOf } from "../base/errors.ts";
import type { MemberRecord } from "../base/members.ts";
import { pause } from "../base/pause.ts";
import type { ServeConfig } from "../config/serve-config.ts";
import type { Ask } from "../discovery/ask.ts";
import { type BootstrapTarget, bootstrap, foundAlone } from "../discovery/bootstrap.ts";
import { BootstrapDesk, type BootstrapDeskOptions } from "../discovery/bootstrap-desk.ts";
import { BootstrapFile } from "../discovery/bootstrap-file.ts";
import { requestJoin } from "../discovery/join.ts";
import { resolveSrv } from "../discovery/srv.ts";
import { joinCommand, makeToken, readTokenFile, writeTokenFile } from "../discovery/token.ts";
import { StateMachine } from "../kv/state-machine.ts";
import { openSqlite } from "../runtime/sqlite.ts";
import { fileNames, syncFile } from "../storage/files.ts";
import type { LogStart } from "../storage/log-create.ts";
import { isNoRoom, noRoom } from "../storage/no-room.ts";
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

/** How long a start waits for a member named by --join to say which cluster it is in. */
const probeMs = 500;

/** What other processes are told about this one. */
export function selfOf(config: ServeConfig): JoinRequest {
  return {
    name: config.name,
    peerAddress: config.advertisePeer,
    clientUrls: [config.advertiseClient],
    grpcUrls: config.advertiseGrpc === undefined ? [] : [config.advertiseGrpc],
  };
}

function tokenPath(config: ServeConfig): string {
  return join(config.dataDir, "token");
}

/** The cluster's join token, and whether it has yet to be written to the data folder. */
export interface JoinToken {
  readonly token: string | undefined;
  readonly made: boolean;
}

/** The token as given, or as made at this folder's first start; a new cluster of one makes it. */
export function joinToken(config: ServeConfig): JoinToken {
  if (config.token !== undefined) return { token: config.token, made: false };
  const path = tokenPath(config);
  if (existsSync(path)) return { token: readTokenFile(path), made: false };
  const founds = config.bootstrap && !SqliteLogStore.exists(config.dataDir);
  return founds ? { token: makeToken(), made: true } : { token: undefined, made: false };
}

/** Keeps a token that was made; on disk before anybody can use it. */
export function keepToken(config: ServeConfig, { token, made }: JoinToken): void {
  if (made && token !== undefined) writeTokenFile(tokenPath(config), token);
}

export function makeDataFolder({ dataDir }: ServeConfig): void {
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new CoracleError(
      "config_invalid",
      `The data folder ${dataDir} cannot be made (${messageOf(error)}); choose another with --data-dir.`,
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
  log.info("No data in {dataDir}: the new cluster {clusterId} begins with it, of {count} member(s).", {
    dataDir: config.dataDir,
    clusterId,
    count: members.length,
  });
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
  await Promise.all(
    config.join.map(async (address) => {
      const clusterId = await clusterAt(address, ask);
      if (clusterId === undefined || clusterId === identity.clusterId) return;
      throw new CoracleError(
        "config_invalid",
        `The data folder ${config.dataDir} belongs to cluster ${identity.clusterId}, but ${address} is in cluster ${clusterId}; use another --data-dir, or delete this one to join anew.`,
      );
    }),
  );
}

/** The cluster of whoever answers there, or `undefined`: a member that is down is no mistake. */
async function clusterAt(address: string, ask: Ask): Promise<number | undefined> {
  try {
    // A host that is silent must not hold up a start: dialling alone may take seconds.
    const question = ask(address, "probe", null, { timeoutMs: probeMs });
    const body = await Promise.race([question, pause(systemClock, probeMs)]);
    const probe = parseBody(probeResponseSchema, body, "answer to a probe");
    return probe.state === "initialised" ? probe.clusterId : undefined;
  } catch {
    return undefined;
  }
}

/** Tells the operator of a new cluster how others join it; the token itself only to a person at a terminal. */
export function joinAnnouncement(config: ServeConfig, token: string | undefined, terminal: boolean): string {
  if (token === undefined) return "";
  const path = tokenPath(config);
  const command = joinCommand({ peerAddress: config.advertisePeer, tokenFile: path });
  const where = terminal ? `join token: ${token} (in ${path})` : `The join token is in ${path}.`;
  return `${where}\nto join from another host, with that file: ${command}\n`;
}

/** The state as it was left. Nothing is written to a file that is no state. */
export function openState(dir: string, files: StateFiles): StateMachine {
  const path = join(dir, fileNames.state);
  if (!StateFiles.exists(dir)) {
    throw new CoracleError("storage_damaged", `${path} is missing beside raft.db; ${rejoin(dir)}.`);
  }
  return readingState(dir, () => {
    requireDatabase(path);
    const state = StateMachine.open(files.open());
    files.prove(state);
    return state;
  });
}

/** The first state of a member. */
export function createState(dir: string, files: StateFiles, start: MemberStart): StateMachine {
  const { identity, members, logStart } = start;
  const membership = { clusterId: identity.clusterId, members, removed: [] };
  const database = files.open();
  const state = StateMachine.create(database, { membership, index: logStart.index, term: logStart.term });
  // Durable before raft.db exists, which is taken for the mark of a complete folder.
  database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  syncFile(join(dir, fileNames.state));
  return state;
}

/**
 * Without raft.db a state is what a first start left that broke off, which is removed, or the rest of
 * a member's data, which is told before this member asks anybody to be taken for a new one.
 */
export function removeUnusedState(dir: string): void {
  if (!StateFiles.exists(dir)) return;
  const path = join(dir, fileNames.state);
  const appliedIndex = readingState(dir, () => {
    const left = StateMachine.open(openSqlite(path, { readOnly: true }));
    const index = left.appliedIndex;
    left.close();
    return index;
  });
  if (appliedIndex > foundation.index) {
    throw new CoracleError(
      "storage_damaged",
      `${join(dir, fileNames.log)} is missing beside state.db, which holds the state at index ${appliedIndex}; restore it, or ${rejoin(dir)}.`,
    );
  }
  for (const suffix of ["", "-wal", "-shm"]) rmSync(`${path}${suffix}`, { force: true });
}

function rejoin(dir: string): string {
  return `delete the folder ${dir} and start this member with --join, so that it gets the data from the others`;
}

/** SQLite would make a new database of an empty file, and write to it. */
function requireDatabase(path: string): void {
  const magic = Buffer.alloc(sqliteMagic.length);
  const file = openSync(path, "r");
  try {
    readSync(file, magic, 0, magic.length, 0);
  } finally {
    closeSync(file);
  }
  if (magic.toString("latin1") !== sqliteMagic)
    throw new CoracleError("storage_damaged", "it is no SQLite database");
}

/** SQLite's format of files begins so (sqlite.org/fileformat2, section 1.3). */
const sqliteMagic = "SQLite format 3\0";

/** Reads state.db; whatever is wrong with it is told with its path, and what to do. */
function readingState<T>(dir: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (isNoRoom(error)) throw noRoom(join(dir, fileNames.state));
    throw new CoracleError(
      "storage_damaged",
      `${join(dir, fileNames.state)} cannot be used: ${messageOf(error).replace(/\.$/, "")}. To mend it, ${rejoin(dir)}.`,
    );
  }
}
