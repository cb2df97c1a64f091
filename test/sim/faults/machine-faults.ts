import { between, chance, pick } from "../engine/streams.ts";
import type { Host } from "../members/host.ts";
import { restartAll } from "./rolling.ts";
import { inService, leaderOf, victim } from "./targets.ts";
import type { FaultAction, FaultKind } from "./types.ts";

/** Takes a machine down in some way, and lets it start again at the end. */
function down(how: (host: Host) => void): FaultAction {
  return (world, random) => {
    const host = victim(world, random);
    if (host === undefined) return undefined;
    host.holdDown();
    how(host);
    return () => host.letUp();
  };
}

function allDown(how: (host: Host) => void): FaultAction {
  return (world, random) => {
    const hosts = inService(world);
    const chosen = chance(random, 0.5) ? hosts : hosts.filter(() => chance(random, 0.6));
    for (const host of chosen) {
      host.holdDown();
      how(host);
    }
    return () => {
      // Not all at the same moment.
      for (const host of chosen) world.scheduler.afterMs(between(random, 0, 500), () => host.letUp());
    };
  };
}

function trouble(change: (host: Host, random: Parameters<FaultAction>[1]) => () => void): FaultAction {
  return (world, random) => {
    const host = victim(world, random);
    return host === undefined ? undefined : change(host, random);
  };
}

export const machineFaults: Readonly<Record<string, FaultKind>> = {
  "process killed": { weight: 14, durationMsMin: 1, durationMsMax: 3000, begin: down((host) => host.kill()) },
  "power lost": {
    weight: 10,
    durationMsMin: 50,
    durationMsMax: 3000,
    begin: down((host) => host.losePower()),
  },
  "several killed": {
    weight: 3,
    durationMsMin: 50,
    durationMsMax: 2000,
    begin: allDown((host) => host.kill()),
  },
  "power lost in the rack": {
    weight: 4,
    durationMsMin: 50,
    durationMsMax: 2000,
    begin: allDown((host) => host.losePower()),
  },
  "killed after a commit": {
    weight: 7,
    durationMsMin: 50,
    durationMsMax: 2000,
    begin: trouble((host, random) => {
      host.disk.trouble.crashAfterCommits = 1 + random.below(4);
      host.holdDown();
      return () => {
        host.disk.trouble.crashAfterCommits = 0;
        host.letUp();
      };
    }),
  },
  "killed in the install of a snapshot": {
    weight: 5,
    durationMsMin: 1000,
    durationMsMax: 8000,
    begin: (world) => {
      const hosts = inService(world);
      for (const { disk } of hosts) disk.trouble.crashInInstall = true;
      return () => {
        for (const { disk } of hosts) disk.trouble.crashInInstall = false;
      };
    },
  },
  "process stopped": {
    weight: 8,
    durationMsMin: 50,
    durationMsMax: 4000,
    begin: trouble((host) => {
      const { process } = host;
      process?.stop();
      return () => process?.resume();
    }),
  },
  "clean restart": {
    weight: 6,
    durationMsMin: 0,
    durationMsMax: 0,
    begin: (world, random) => {
      victim(world, random)?.restartGracefully(between(random, 1, 800));
      return undefined;
    },
  },
  "rolling restart": {
    weight: 4,
    durationMsMin: 2000,
    durationMsMax: 8000,
    begin: (world, random) => restartAll(world, random, () => {}),
  },
  "rolling upgrade": {
    weight: 4,
    durationMsMin: 2000,
    durationMsMax: 8000,
    begin: (world, random) => {
      const [older, newer] = world.releases;
      // Now and then the operators go back to where they were.
      const target = chance(random, 0.8) ? newer : older;
      return restartAll(world, random, (host) => {
        host.versions = target;
      });
    },
  },
  "slow disk": {
    weight: 7,
    durationMsMin: 300,
    durationMsMax: 4000,
    begin: trouble(({ disk }, random) => {
      const fsyncMs = pick(random, [20, 50, 200, 500]);
      disk.trouble.fsyncMs += fsyncMs;
      return () => {
        disk.trouble.fsyncMs -= fsyncMs;
      };
    }),
  },
  "failing disk": {
    weight: 4,
    durationMsMin: 50,
    durationMsMax: 1000,
    begin: trouble(({ disk }) => {
      disk.trouble.failing = true;
      return () => {
        disk.trouble.failing = false;
      };
    }),
  },
  "full disk": {
    weight: 5,
    durationMsMin: 200,
    durationMsMax: 3000,
    begin: trouble(({ disk }, random) => {
      // The two files may lie on two disks.
      const which = pick(random, ["both", "state", "log"] as const);
      disk.trouble.full = which !== "log";
      disk.trouble.logFull = which !== "state";
      return () => {
        disk.trouble.full = false;
        disk.trouble.logFull = false;
      };
    }),
  },
  "bits flipped in the log": {
    weight: 4,
    durationMsMin: 50,
    durationMsMax: 1000,
    begin: (world, random) => {
      const host = world.mayLoseDisk() ? victim(world, random) : undefined;
      const { log } = host?.disk ?? {};
      if (host === undefined || log === undefined) return undefined;
      host.holdDown();
      host.kill();
      const { index, entries } = log.read();
      const target = index + 1 + random.below(Math.max(1, entries.length));
      host.damaged = log.flipBit(target, random.below(1024)) || host.damaged;
      return () => host.letUp();
    },
  },
  "wall clock stepped": {
    weight: 5,
    durationMsMin: 100,
    durationMsMax: 4000,
    begin: trouble(({ clock }, random) => {
      const step = between(random, -3_600_000, 3_600_000);
      clock.wallOffsetMs += step;
      return () => {
        clock.wallOffsetMs -= step;
      };
    }),
  },
  "clock drift": {
    weight: 5,
    durationMsMin: 500,
    durationMsMax: 5000,
    begin: trouble(({ clock }, random) => {
      clock.setRate(between(random, 0.8, 1.25));
      return () => clock.setRate(1);
    }),
  },
  "leadership transferred": {
    weight: 8,
    durationMsMin: 0,
    durationMsMax: 0,
    begin: (world, random) => {
      const leader = leaderOf(world);
      const asked = chance(random, 0.7) ? leader : victim(world, random);
      const process = asked?.process;
      if (process === undefined || asked?.active !== true) return undefined;
      const targets = inService(world).flatMap(({ disk }) => disk.identity?.memberId ?? []);
      const to = chance(random, 0.4) || targets.length === 0 ? undefined : pick(random, targets);
      process.run(() => {
        process.node.cluster.transferLeadership(to).then(
          () => world.coverage.add("membership: leadership transferred"),
          () => world.coverage.add("membership: transfer refused"),
        );
      });
      return undefined;
    },
  },
};
