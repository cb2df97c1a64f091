import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import * as v from "valibot";
import { messageOf } from "../base/errors.ts";
import { type DataLock, lockDataFolder } from "../storage/data-lock.ts";
import { CommandFailure, exitCodes } from "./exit-codes.ts";

/** One member of a development cluster. */
export interface DevMember {
  readonly name: string;
  readonly folder: string;
  readonly clientPort: number;
  readonly peerPort: number;
  readonly grpcPort: number;
}

const stateFile = "dev.json";
const port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535));
const stateSchema = v.object({
  /** What was asked for; the ports themselves may be later ones. */
  portBase: v.optional(port),
  members: v.pipe(
    v.array(
      v.object({
        name: v.pipe(v.string(), v.regex(/^n\d$/)),
        clientPort: port,
        peerPort: port,
        grpcPort: port,
      }),
    ),
    v.minLength(1),
  ),
});

/** Client ports by default; the next one is the peer port, the one behind it for gRPC. */
const usualPorts = [2379, 22_379, 32_379, 42_379, 52_379] as const;
/** Distance of two members from `--port-base` on, and of two attempts. */
const portStep = 10;
const attemptsMax = 50;

export interface DevPlan {
  readonly dataDir: string;
  readonly members: number;
  readonly portBase?: number;
}

/**
 * The members of earlier runs in this folder, else new ones on free ports, which are then kept:
 * members know each other by their addresses.
 *
 * @throws CommandFailure when the folder holds something else, or its ports are taken.
 */
export async function planMembers(plan: DevPlan): Promise<DevMember[]> {
  const path = join(plan.dataDir, stateFile);
  if (!existsSync(path)) return newMembers(plan, path);
  const { members: known, portBase } = readState(path);
  if (known.length !== plan.members) {
    throw new CommandFailure(
      exitCodes.usage,
      `${plan.dataDir} holds a cluster of ${known.length} members; start it with --members ${known.length}, or begin anew with --fresh.`,
    );
  }
  if (plan.portBase !== undefined && plan.portBase !== portBase) {
    throw new CommandFailure(
      exitCodes.usage,
      `The cluster in ${plan.dataDir} was not made with --port-base ${plan.portBase}; leave that out, or begin anew with --fresh.`,
    );
  }
  const members = known.map((member) => ({ ...member, folder: join(plan.dataDir, member.name) }));
  for (const taken of members.flatMap(portsOf)) {
    if (await isFree(taken)) continue;
    throw new CommandFailure(
      exitCodes.failed,
      `Port ${taken} is in use, but the cluster in ${plan.dataDir} needs it: end the other process (is coracle dev running already?) or begin anew with --fresh --port-base PORT.`,
    );
  }
  return members;
}

async function newMembers(plan: DevPlan, path: string): Promise<DevMember[]> {
  const members: DevMember[] = [];
  let from = plan.portBase ?? 0;
  for (let index = 0; index < plan.members; index++) {
    if (plan.portBase === undefined) from = usualPorts[index] ?? 0;
    const clientPort = await freePorts(from);
    from = clientPort + portStep;
    const name = `n${index + 1}`;
    const ports = { clientPort, peerPort: clientPort + 1, grpcPort: clientPort + 2 };
    members.push({ name, folder: join(plan.dataDir, name), ...ports });
  }
  const state = members.map(({ folder, ...kept }) => kept);
  try {
    mkdirSync(plan.dataDir, { recursive: true });
    writeFileSync(path, `${JSON.stringify({ portBase: plan.portBase, members: state }, null, 2)}\n`);
  } catch (error) {
    throw new CommandFailure(
      exitCodes.failed,
      `The folder ${plan.dataDir} cannot be written: ${messageOf(error)}.`,
    );
  }
  return members;
}

function readState(path: string) {
  try {
    return v.parse(stateSchema, JSON.parse(readFileSync(path, "utf8")));
  } catch (error) {
    throw new CommandFailure(
      exitCodes.failed,
      `${path} cannot be read (${messageOf(error)}); remove it with the folders beside it, or choose another --data-dir.`,
    );
  }
}

function portsOf({ clientPort, peerPort, grpcPort }: Omit<DevMember, "name" | "folder">): number[] {
  return [clientPort, peerPort, grpcPort];
}

/** A port that is free together with the two after it, at `from` or a few steps behind. */
async function freePorts(from: number): Promise<number> {
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const candidate = from + attempt * portStep;
    if (candidate + 2 > 65_535) break;
    const free = await Promise.all([candidate, candidate + 1, candidate + 2].map(isFree));
    if (free.every(Boolean)) return candidate;
  }
  throw new CommandFailure(
    exitCodes.failed,
    `There are no three free ports from ${from} on; choose others with --port-base.`,
  );
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve(false));
    probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
  });
}

/** Every file that can stand in a member's folder begins with one of these. */
const memberFiles = /^(coracle\.|raft\.|state\.|snapshots$|token$|join-token$)/;

/**
 * Removes what earlier runs left, and nothing else.
 *
 * @throws CommandFailure when something in the folder is not coracle's; nothing is removed then.
 */
export function removeEarlierRuns(dataDir: string): void {
  if (!existsSync(dataDir)) return;
  const foreign: string[] = [];
  const memberFolders: string[] = [];
  for (const entry of readdirSync(dataDir, { withFileTypes: true })) {
    const path = join(dataDir, entry.name);
    if (entry.isDirectory() && /^n\d$/.test(entry.name)) {
      memberFolders.push(path);
      foreign.push(
        ...readdirSync(path)
          .filter((file) => !memberFiles.test(file))
          .map((file) => join(path, file)),
      );
    } else if (entry.name !== stateFile) foreign.push(path);
  }
  if (foreign.length > 0) {
    throw new CommandFailure(
      exitCodes.failed,
      `--fresh removes nothing, because ${foreign[0]} is not coracle's; move it away or choose another --data-dir.`,
    );
  }
  const locks = memberFolders.map(lockStopped);
  try {
    rmSync(dataDir, { recursive: true, force: true });
  } finally {
    for (const lock of locks) lock.release();
  }
}

/** The folder's lock, which a running member would hold. */
function lockStopped(folder: string): DataLock {
  try {
    return lockDataFolder(folder);
  } catch (error) {
    throw new CommandFailure(exitCodes.failed, `--fresh removes nothing: ${messageOf(error)}`);
  }
}
