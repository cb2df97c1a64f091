import { isDeepStrictEqual } from "node:util";
import { getLogger } from "@logtape/logtape";
import { Registry } from "prom-client";
import { createApp } from "../api/app.ts";
import { buildInfo } from "../base/build-info.ts";
import { systemClock } from "../base/clock.ts";
import { CoracleError, messageOf } from "../base/errors.ts";
import { pause } from "../base/pause.ts";
import { randomId, seededRandom } from "../base/prng.ts";
import { clientHostNames } from "../config/host-names.ts";
import type { ServeConfig } from "../config/serve-config.ts";
import { type BootstrapDesk, bootstrapRequests } from "../discovery/bootstrap-desk.ts";
import { GrpcServer } from "../grpc/server.ts";
import type { StateMachine } from "../kv/state-machine.ts";
import { Compactor, type Retention } from "../node/compactor.ts";
import { createCompactorMetrics } from "../node/compactor-metrics.ts";
import { diskGuard } from "../node/disk-guard.ts";
import { registerDiskMetrics } from "../node/disk-metrics.ts";
import { createNodeMetrics, latencyHistogram } from "../node/metrics.ts";
import { Node } from "../node/node.ts";
import { stateComparison } from "../node/state-comparison.ts";
import { PeerNetwork } from "../peer/network.ts";
import type { SnapshotTarget } from "../peer/snapshot-receiver.ts";
import { type HttpServer, serveHttp } from "../runtime/http.ts";
import { type DataLock, lockDataFolder } from "../storage/data-lock.ts";
import { diskSpace } from "../storage/disk-space.ts";
import { isNoRoom } from "../storage/no-room.ts";
import { reconcile } from "../storage/reconcile.ts";
import { SqliteLogStore } from "../storage/sqlite-log.ts";
import { StateFiles } from "../storage/state-files.ts";
import type { Identity } from "../storage/types.ts";
import type { SnapshotOffer } from "../wire/link-frames.ts";
import { joinRequestSchema, parseBody } from "../wire/requests.ts";
import { DuplicateAlarm } from "./duplicate-alarm.ts";
import { Entrance } from "./entrance.ts";
import { MemberParts } from "./member-parts.ts";
import { memberService } from "./member-service.ts";
import {
  checkKnownIdentity,
  createState,
  firstStart,
  type JoinToken,
  joinAnnouncement,
  joinToken,
  keepToken,
  makeDataFolder,
  openDesk,
  openState,
  removeUnusedState,
  selfOf,
} from "./member-start.ts";

const log = getLogger(["coracle", "start"]);

/** etcd's: a request may be longer than its value by 512 KiB. */
const grpcOverheadBytes = 512 * 1024;

/** How soon a change of addresses is told again when that did not succeed. */
const tellAgainMs = 1000;
/** How soon a start that found no room on the disk is tried again. */
const roomAgainMs = 1000;
/** How often the leader compares what all members made of the log. */
const compareStatesMs = 10 * 60_000;

interface OpenData {
  readonly identity: Identity;
  readonly logStore: SqliteLogStore;
  readonly files: StateFiles;
  readonly state: StateMachine;
}

/** Why a member's process ends by itself. */
export type EndReason =
  | { readonly kind: "failed"; readonly error: unknown }
  | { readonly kind: "removed" }
  | { readonly kind: "left" };

/** For how long a request waits for a member that starts: as long as a usual start takes on a slow machine. */
const startWaitMs = 1_000;

/**
 * One member with its files, ports and timers: made here, and let go in the opposite order.
 * Ports are taken before anything is written, so that a start that cannot work changes nothing.
 */
export class MemberProcess {
  readonly #config: ServeConfig;
  readonly #registry = new Registry();
  readonly #stopping = new AbortController();
  readonly #token: JoinToken;
  readonly #onEnd: (reason: EndReason) => void;
  readonly #startedAtMs = Date.now();
  readonly #duplicate = new DuplicateAlarm(systemClock);
  #http: HttpServer | undefined;
  #grpc: GrpcServer | undefined;
  #peers: PeerNetwork | undefined;
  #desk: BootstrapDesk | undefined;
  #log: SqliteLogStore | undefined;
  /** Of the data folder, until the log takes it over. */
  #lock: DataLock | undefined;
  #files: StateFiles | undefined;
  #state: StateMachine | undefined;
  #node: Node | undefined;
  readonly #parts: MemberParts;
  /** It left by its own wish: its removal is no failure. */
  #left = false;
  readonly #entrance: Entrance;

  constructor(config: ServeConfig, onEnd: (reason: EndReason) => void) {
    this.#config = config;
    this.#onEnd = onEnd;
    this.#token = joinToken(config);
    this.#entrance = new Entrance(startWaitMs);
    this.#parts = new MemberParts(this.#registry, (error) => this.#onEnd({ kind: "failed", error }));
  }

  /** Resolves when the member takes part in its cluster; rejects when it cannot. */
  async start(): Promise<void> {
    const { listenClient } = this.#config;
    this.#http = await serveHttp({
      host: listenClient.host,
      port: listenClient.port,
      fetch: (request) => this.#entrance.answer(request),
      onError: (error) => log.error("A request failed: {error}", { error }),
    });
    await this.#listenGrpc();
    const peers = this.#createPeers();
    await peers.listen();
    const { identity, logStore, files, state } = await this.#open(peers);
    await reconcile(logStore, state);
    this.#desk?.initialised(identity.clusterId);
    const node = this.#createNode(identity, logStore, files, state, peers);
    this.#node = node;
    files.pauseBy({ whilePaused: (work) => node.whilePaused(work), settle: () => node.settle() });
    peers.setIdentity({ clusterId: identity.clusterId, memberId: identity.memberId });
    node.start();
    const service = memberService({
      node,
      identity,
      parts: this.#parts.services,
      files,
      clock: systemClock,
      quotaBytes: this.#config.quotaBytes,
      onLeft: () => {
        this.#left = true;
      },
      unready: () => this.#duplicate.reason,
    });
    const hostNames = clientHostNames(this.#config);
    const app = createApp({
      service,
      info: { version: buildInfo.version, commit: buildInfo.commit, startedAtMs: this.#startedAtMs },
      metrics: this.#registry,
      limits: { valueBytesMax: this.#config.valueBytesMax },
      stopping: this.#stopping.signal,
      ...(hostNames === undefined ? {} : { hostNames }),
    });
    this.#entrance.open(app.fetch);
    this.#grpc?.serve({ etcd: (create) => create(service), ready: () => service.cluster.readiness().ready });
    this.#announce();
    void this.#tellAddresses(node, identity);
  }

  /** Hands leadership over, answers what is in flight, closes everything. Safe at any moment of a start. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#entrance.giveUp();
    const { stopGraceMs } = this.#config;
    this.#grpc?.beginStop();
    // While the member still leads: who is refused goes to another member, which can serve.
    await this.#http?.beginStop();
    await this.#node?.stop(stopGraceMs);
    await Promise.all([this.#http?.stop(stopGraceMs), this.#grpc?.stop(stopGraceMs)]);
    await this.#peers?.close();
    (this.#node?.state ?? this.#state)?.close();
    await this.#files?.close();
    await this.#log?.close();
    this.#lock?.release();
  }

  async leave(): Promise<void> {
    await this.#node?.cluster.leave();
  }

  async #listenGrpc(): Promise<void> {
    const { listenGrpc, valueBytesMax } = this.#config;
    if (listenGrpc === undefined) return;
    this.#grpc = new GrpcServer({ ...listenGrpc, receiveBytesMax: valueBytesMax + grpcOverheadBytes });
    await this.#grpc.listen();
  }

  /** Opens the data folder; without data, finds the cluster first and makes it. */
  async #open(peers: PeerNetwork): Promise<OpenData> {
    const { dataDir } = this.#config;
    const ask = peers.ask.bind(peers);
    const options = {
      observeFsyncMs: latencyHistogram(
        this.#registry,
        "coracle_fsync_seconds",
        "One write of the log to disk.",
      ),
    };
    if (SqliteLogStore.exists(dataDir)) {
      const { log: logStore, identity } = await this.#whenThereIsRoom(() => {
        return SqliteLogStore.open(dataDir, options);
      });
      this.#log = logStore;
      this.#desk = openDesk(this.#config, peers.instance, identity);
      await checkKnownIdentity(this.#config, identity, ask);
      const opened = await this.#whenThereIsRoom(() => {
        return this.#openState((files) => openState(dataDir, files));
      });
      return { identity, logStore, ...opened };
    }
    makeDataFolder(this.#config);
    // From here on nothing in the folder is anybody else's.
    const lock = lockDataFolder(dataDir);
    this.#lock = lock;
    removeUnusedState(dataDir);
    keepToken(this.#config, this.#token);
    this.#desk = openDesk(this.#config, peers.instance, undefined);
    const start = await firstStart(this.#config, this.#desk, ask, this.#stopping.signal);
    // raft.db comes last: it makes the folder a member's.
    const opened = this.#openState((files) => createState(dataDir, files, start));
    const logStore = await SqliteLogStore.create(dataDir, start.identity, start.logStart, {
      ...options,
      lock,
    });
    this.#lock = undefined;
    this.#log = logStore;
    this.#announceJoin();
    return { identity: start.identity, logStore, ...opened };
  }

  #openState(open: (files: StateFiles) => StateMachine): {
    readonly files: StateFiles;
    readonly state: StateMachine;
  } {
    const files = new StateFiles(this.#config.dataDir);
    this.#files = files;
    const state = open(files);
    this.#state = state;
    return { files, state };
  }

  /** A full disk is no reason to end: when there is room the start goes on. */
  async #whenThereIsRoom<T>(open: () => T | Promise<T>): Promise<T> {
    for (let told = false; ; told = true) {
      try {
        return await open();
      } catch (error) {
        if (!isNoRoom(error) || this.#stopping.signal.aborted) throw error;
        if (!told) log.error("{reason}", { reason: messageOf(error) });
        await this.#files?.close();
      }
      await pause(systemClock, roomAgainMs, this.#stopping.signal);
    }
  }

  #createPeers(): PeerNetwork {
    const observe = latencyHistogram(
      this.#registry,
      "coracle_peer_round_trip_seconds",
      "Round trips to other members.",
    );
    const peers = new PeerNetwork({
      listen: this.#config.listenPeer,
      ...(this.#token.token === undefined ? {} : { token: this.#token.token }),
      name: this.#config.name,
      clock: systemClock,
      random: seededRandom(randomId()),
      events: {
        onMessage: (from, message) => this.#node?.onMessage(from, message),
        onConnected: (member) => this.#node?.onConnected(member),
        onDisconnected: (member) => this.#node?.onDisconnected(member),
      },
      control: (name, body) => this.#control(name, body),
      snapshots: {
        begin: (offer, from) => {
          const { files, node } = this.#running();
          return receiveSnapshot(files, node, offer, from);
        },
      },
      observeRoundTrip: (_member, milliseconds) => observe(milliseconds),
      onRefused: (refused) => {
        if (refused.reason === "removed") this.#node?.refusedAsRemoved(refused.member);
        if (refused.reason === "duplicate") this.#duplicate.refused(refused.message);
      },
    });
    this.#peers = peers;
    return peers;
  }

  #createNode(
    identity: Identity,
    logStore: SqliteLogStore,
    files: StateFiles,
    state: StateMachine,
    peers: PeerNetwork,
  ): Node {
    const figures = (): ReturnType<Node["figures"]> => this.#running().node.figures();
    const { quotaBytes } = this.#config;
    return new Node({
      identity,
      options: this.#config,
      peerAddress: this.#config.advertisePeer,
      build: buildInfo,
      clock: systemClock,
      random: seededRandom(randomId()),
      log: logStore,
      state,
      store: files,
      transport: peers,
      newId: randomId,
      parts: [
        ...this.#parts.factories,
        diskGuard({
          log: logStore,
          store: files,
          quotaBytes,
          diskSpace: () => diskSpace(this.#config.dataDir),
          name: identity.name,
          metrics: (figuresOfDisk) => registerDiskMetrics(this.#registry, figuresOfDisk),
        }),
        stateComparison({
          everyMs: compareStatesMs,
          condemn: (reason) => this.#onEnd({ kind: "failed", error: files.condemn(reason) }),
        }),
        (node) =>
          new Compactor(node, {
            retention: this.#retention(),
            fill: () => (quotaBytes === 0 ? 0 : files.usedBytes() / quotaBytes),
            metrics: createCompactorMetrics(this.#registry, () => node.state()),
          }),
      ],
      metrics: createNodeMetrics(this.#registry, figures),
      onFatal: (error) => this.#onEnd({ kind: "failed", error }),
      onRemoved: () => this.#onEnd({ kind: this.#left ? "left" : "removed" }),
    });
  }

  #retention(): Retention {
    const { compactKeepAgeMs, compactKeepRevisions, compactRevisionsMax } = this.#config;
    return {
      ...(compactKeepAgeMs === undefined ? {} : { keepAgeMs: compactKeepAgeMs }),
      keepRevisions: compactKeepRevisions,
      revisionsMax: compactRevisionsMax,
    };
  }

  async #control(name: string, body: unknown): Promise<unknown> {
    if ((bootstrapRequests as readonly string[]).includes(name)) {
      if (this.#desk === undefined) throw new CoracleError("not_proposed", "This member is still starting.");
      return this.#desk.handle(name, body);
    }
    if (name !== "join") throw new CoracleError("invalid_argument", `There is no request named "${name}".`);
    const request = parseBody(joinRequestSchema, body, "request to join");
    if (this.#node === undefined) throw new CoracleError("no_leader", "This member is still starting.");
    return this.#node.cluster.join(request);
  }

  #running(): { readonly node: Node; readonly files: StateFiles } {
    if (this.#node === undefined || this.#files === undefined) {
      throw new CoracleError("not_proposed", "This member is still starting.");
    }
    return { node: this.#node, files: this.#files };
  }

  #announce(): void {
    const { host, port } = this.#http ?? { host: "", port: 0 };
    log.info("Serving clients at {url}, etcd's gRPC clients at {grpc}, members at {peer}.", {
      url: `http://${host.includes(":") ? `[${host}]` : host}:${port}`,
      grpc: this.#config.advertiseGrpc ?? "no address",
      peer: this.#config.advertisePeer,
    });
  }

  /** Once. The token is a secret: what is no terminal (a journal, a file) keeps what it is told. */
  #announceJoin(): void {
    if (this.#config.bootstrap)
      process.stdout.write(joinAnnouncement(this.#config, this.#token.token, process.stdout.isTTY === true));
  }

  /** After a restart with other addresses, the others learn them from the log. */
  async #tellAddresses(node: Node, identity: Identity): Promise<void> {
    const { peerAddress, clientUrls, grpcUrls } = selfOf(this.#config);
    const told = { peerAddress, clientUrls, grpcUrls };
    while (!this.#stopping.signal.aborted) {
      const known = node.cluster.members().find(({ id }) => id === identity.memberId);
      if (known === undefined) return;
      const current = { ...known, ...told };
      if (isDeepStrictEqual(known, current)) return;
      try {
        await node.cluster.updateMember(current);
      } catch (error) {
        log.warn("The new addresses of this member could not be told to the cluster yet: {reason}", {
          reason: messageOf(error),
        });
        await pause(systemClock, tellAgainMs, this.#stopping.signal);
      }
    }
  }
}

/** Stores a snapshot as it arrives, then tells Raft of it. */
async function receiveSnapshot(
  files: StateFiles,
  node: Node,
  offer: SnapshotOffer,
  from: number,
): Promise<SnapshotTarget> {
  const incoming = await files.inbox.begin(offer);
  return {
    offset: incoming.offset,
    write: (chunk) => incoming.write(chunk),
    abort: () => incoming.abort(),
    finish: async () => {
      await incoming.finish();
      if (!node.snapshotReceived(from, offer.senderTerm, offer.meta)) await files.inbox.forget(offer.meta);
    },
  };
}
