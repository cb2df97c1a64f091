import { getLogger } from "@logtape/logtape";
import { CoracleError, messageOf } from "../base/errors.ts";
import type { ServeConfig } from "../config/serve-config.ts";
import { exitCodes } from "./exit-codes.ts";
import { type EndReason, MemberProcess } from "./member-process.ts";

const log = getLogger(["coracle", "start"]);

/** The member was removed: it ends again however often it is started (`RestartPreventExitStatus`). */
export const exitRemoved = 77;

/** A broken invariant or a failed disk: the supervisor should start the member again. */
const exitFatal = 70;

/** Runs a member until it is told to stop, is removed, or cannot go on. Resolves with the exit code. */
export async function runServe(config: ServeConfig): Promise<number> {
  // What the member writes is its owner's alone, whatever the mode of the folder (SQLite creates 0644).
  process.umask(0o077);
  const { promise: ended, resolve: end } = Promise.withResolvers<EndReason | "signal">();
  const onSignal = (): void => end("signal");
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  const member = new MemberProcess(config, end);
  try {
    const started = member.start();
    // A signal may come while the member still looks for its cluster.
    const first = await Promise.race([started.then(() => undefined), ended]);
    const reason = first ?? (await ended);
    started.catch(() => {});
    return await finish(config, member, reason);
  } catch (error) {
    await member.stop().catch(() => {});
    if (!(error instanceof CoracleError)) throw error;
    process.stderr.write(`coracle: ${error.message}\n`);
    // Flags and values were fine. A port, a folder or an address may be free at the next try, so this
    // is not the exit code after which a supervisor gives up.
    return exitCodes.failed;
  } finally {
    process.off("SIGTERM", onSignal);
    process.off("SIGINT", onSignal);
  }
}

async function finish(
  config: ServeConfig,
  member: MemberProcess,
  reason: EndReason | "signal",
): Promise<number> {
  if (reason !== "signal" && reason.kind === "failed") {
    log.fatal("The member cannot go on: {reason}", {
      reason: messageOf(reason.error),
      stack: reason.error instanceof Error ? reason.error.stack : undefined,
    });
    return exitFatal;
  }
  if (reason === "signal") {
    log.info("Stopping.");
    if (config.leaveOnStop) await leave(member);
  } else if (reason.kind === "left") {
    log.info("This member left the cluster; its data folder can be deleted.");
  } else {
    log.error(
      "This member was removed from the cluster; to come back, delete its data folder and start it with --join.",
    );
  }
  if (!(await stoppedInTime(config, member))) return exitFatal;
  log.info("Stopped.");
  return reason !== "signal" && reason.kind === "removed" ? exitRemoved : exitCodes.ok;
}

/** A disk that hangs must not keep a stopped member's process alive for ever. */
async function stoppedInTime(config: ServeConfig, member: MemberProcess): Promise<boolean> {
  const limitMs = 2 * config.stopGraceMs + config.requestTimeoutMs + 5_000;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), limitMs);
  });
  const stopped = await Promise.race([member.stop().then(() => true), late]);
  clearTimeout(timer);
  if (!stopped) log.error("Stopping took longer than {limitMs} ms; ending without it.", { limitMs });
  return stopped;
}

async function leave(member: MemberProcess): Promise<void> {
  try {
    await member.leave();
  } catch (error) {
    log.warn("This member stops without having left the cluster: {reason}", { reason: messageOf(error) });
  }
}
