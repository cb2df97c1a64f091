import type { Random } from "../../../src/base/prng.ts";
import { between } from "../engine/streams.ts";
import type { Host } from "../members/host.ts";
import type { World } from "../members/world.ts";
import { inService } from "./targets.ts";

/** A machine that is not back after this long is left to itself. */
const patienceMs = 3000;

/** Restarts all members, each when the one before it is back; gives what ends it early. */
export function restartAll(world: World, random: Random, whileDown: (host: Host) => void): () => void {
  const waiting = inService(world);
  let current: { readonly host: Host; readonly lives: number; readonly sinceMs: number } | undefined;
  let over = false;
  const underWay = (): boolean => {
    if (current === undefined) return false;
    const { host, lives, sinceMs } = current;
    return !(host.active && host.lives > lives) && world.scheduler.nowMs - sinceMs < patienceMs;
  };
  const step = (): void => {
    if (over) return;
    if (!underWay()) {
      const host = waiting.shift();
      if (host === undefined) {
        world.coverage.add("process: all members restarted one by one");
        return;
      }
      current = { host, lives: host.lives, sinceMs: world.scheduler.nowMs };
      host.restartGracefully(between(random, 1, 300), () => whileDown(host));
    }
    world.scheduler.afterMs(50, step);
  };
  step();
  return () => {
    over = true;
  };
}
