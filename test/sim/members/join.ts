import { messageOf } from "../../../src/base/errors.ts";
import { pick } from "../engine/streams.ts";
import type { Host } from "./host.ts";

const retryMs = 250;

/** `serve --join`: asks any member until one admits this machine, then starts as a learner. */
export function joinCluster(host: Host): void {
  const { world } = host;
  if (host.running || host.retired || host.disk.identity !== undefined || world.joining.has(host)) return;
  world.joining.add(host);
  attempt(host);
}

function attempt(host: Host): void {
  const { world } = host;
  const again = (): void => {
    world.scheduler.afterMs(retryMs, () => attempt(host));
  };
  const askable = world.hosts.filter(
    (other) =>
      other !== host &&
      other.active &&
      !world.conditions.blocked(host.number, other.number) &&
      !world.conditions.blocked(other.number, host.number),
  );
  const process = askable.length === 0 ? undefined : pick(host.random, askable).process;
  if (process === undefined || host.retired) {
    if (host.retired) world.joining.delete(host);
    else again();
    return;
  }
  let answered = false;
  const once = (action: () => void): void => {
    if (answered) return;
    answered = true;
    world.scheduler.afterMs(world.conditions.latencyMs(), action);
  };
  process.onEnd.push(() => once(again));
  world.scheduler.afterMs(4000, () => once(again));
  const request = { name: host.name, peerAddress: host.address, clientUrls: [], grpcUrls: [] };
  process.run(() => {
    process.node.cluster.join(request).then(
      (answer) =>
        once(() => {
          world.joining.delete(host);
          world.coverage.add("membership: member joined");
          host.joined(answer);
          host.start();
        }),
      (error: unknown) => {
        world.trace.note("join-refused", host.number, 0, 0, () => messageOf(error));
        once(again);
      },
    );
  });
}
