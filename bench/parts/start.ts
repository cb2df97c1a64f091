import type { Part, Table, Target } from "../part.ts";
import { today } from "../results.ts";
import { measureStart, type Start } from "../startup.ts";
import { median } from "../statistics.ts";
import { coracleVersion, etcdVersion } from "../versions.ts";

const systems = ["coracle", "etcd"] as const;
const roundsMin = 5;
const startMsMax = 100;
const idleMiBMax = 80;

export const start: Part = {
  name: "start",
  about: "how long a lone member takes to answer, and the memory that it holds idle",
  run: async ({ quick, repeats, folder, log }) => {
    const rounds = quick ? 1 : Math.max(roundsMin, repeats);
    const starts: Start[] = [];
    for (let round = 1; round <= rounds; round++) {
      for (const system of round % 2 === 1 ? systems : systems.toReversed()) {
        const one = await measureStart(system, folder, round);
        starts.push(one);
        log(
          `${round}/${rounds} ${system}: first answer after ${one.firstAnswerMs.toFixed(0)} ms, ` +
            `idle ${one.idle.residentMiB.toFixed(0)} MiB resident`,
        );
      }
    }
    return {
      part: "start",
      title: "Start and idle memory of a lone member",
      about: [
        `${rounds === 1 ? "One single start" : `Medians of ${rounds} starts`} on an empty folder, systems in turn. Time from the start of the process to its first answered request, asked every millisecond; memory once the member has calmed down.`,
      ],
      measuredOn: today(),
      versions: { coracle: await coracleVersion(), etcd: await etcdVersion() },
      tables: [tableOf(starts)],
      targets: targetsOf(starts),
      charts: [],
    };
  },
};

function middle(starts: readonly Start[], system: string, figure: (one: Start) => number): number {
  return median(starts.filter((one) => one.system === system).map(figure));
}

function tableOf(starts: readonly Start[]): Table {
  return {
    title: "Start",
    columns: ["who", "first answer ms", "idle RSS MiB", "of it not backed by files MiB"],
    rows: systems.map((system) => [
      system,
      Math.round(middle(starts, system, (one) => one.firstAnswerMs)),
      Math.round(middle(starts, system, (one) => one.idle.residentMiB)),
      Math.round(middle(starts, system, (one) => one.idle.anonymousMiB)),
    ]),
  };
}

function targetsOf(starts: readonly Start[]): Target[] {
  return [
    {
      what: "Start of a lone member to its first answer",
      measured: middle(starts, "coracle", (one) => one.firstAnswerMs),
      ...{ unit: "ms", atMost: startMsMax },
    },
    {
      what: "RSS of an idle lone member",
      measured: middle(starts, "coracle", (one) => one.idle.residentMiB),
      ...{ unit: "MiB", atMost: idleMiBMax },
    },
  ];
}
