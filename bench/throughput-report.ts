import type { Pair } from "./faces.ts";
import type { Chart, PartResult, Table, Target } from "./part.ts";
import { today } from "./results.ts";
import { median } from "./statistics.ts";
import { cellsOf, type Round, type Throughput, type Workload } from "./throughput.ts";
import type { Face, Operation } from "./types.ts";

/** From rounds of measurements to tables, ratios and charts. */

type Figure = "perSecond" | "p50Ms" | "p99Ms" | "cpuMicroseconds";

/** What coracle wants to be beside another: at least for throughput, at most for all else. */
export interface Goal {
  readonly operation: Operation;
  readonly inFlight: number;
  readonly pair: Pair;
  readonly figure: Figure;
  readonly ratio: number;
}

const figureNames: Readonly<Record<Figure, string>> = {
  perSecond: "requests/s",
  p50Ms: "p50",
  p99Ms: "p99",
  cpuMicroseconds: "CPU a request",
};

export function throughputResult(
  {
    part,
    title,
    about,
  }: { readonly part: string; readonly title: string; readonly about?: readonly string[] },
  measured: Throughput,
  goals: readonly Goal[],
): PartResult {
  const { workloads, rounds } = measured;
  return {
    part,
    title,
    about: [...aboutOf(measured), ...(about ?? [])],
    measuredOn: today(),
    versions: measured.versions,
    tables: workloads.flatMap((workload) => [figuresTable(workload, rounds), ratiosTable(workload, rounds)]),
    targets: targetsOf(goals, measured),
    charts: workloads.flatMap((workload) => chartsOf(workload, rounds)),
  };
}

function aboutOf({ tools, keyCount, repeats, seconds }: Throughput): string[] {
  const rounds =
    repeats === 1
      ? `One single run of ${seconds} s each: no more than a look.`
      : `Medians of ${repeats} rounds of ${seconds} s, systems in turn, the order reversed every other round; a ratio is the median of the ratios of each round. Spread is the best round's requests/s less the worst's, in % of the median.`;
  return [
    "Three members of each system with default timeouts on loopback of one machine that also runs the load, which goes to the leader.",
    `Load: ${tools}, one thread: HTTP/1.1 with one request in flight on each of N connections, gRPC with N streams on one connection as its clients do (etcd is faster so). \`wrk\` draws one of ${keyCount.toLocaleString("en")} keys for every request; \`h2load\`, which is needed for gRPC, sends one fixed key to both. Values have 256 bytes where nothing else is said. Ratios are made only between lines of one tool.`,
    rounds,
    "Every request was answered with success, reads with as many bytes as the values have, and the store's revision rose by the number of answered puts.",
    "CPU is user and system time of the three members together for one request; RSS is their sum after the load.",
  ];
}

function of(rounds: readonly Round[], operation: Operation, inFlight: number, face: Face): Round[] {
  return rounds.filter(
    (one) => one.operation === operation && one.inFlight === inFlight && sameFace(one.face, face),
  );
}

function sameFace(one: Face, other: Face): boolean {
  return one.name === other.name && one.tool === other.tool;
}

function figuresTable({ operation, title, runs }: Workload, rounds: readonly Round[]): Table {
  const rows = cellsOf(runs).flatMap(({ inFlight, faces }) =>
    faces.flatMap((face) => {
      const own = of(rounds, operation, inFlight, face);
      if (own.length === 0) return [];
      const middle = (figure: (one: Round) => number): number => median(own.map(figure));
      const perSecond = own.map((one) => one.perSecond);
      const spread = (Math.max(...perSecond) - Math.min(...perSecond)) / median(perSecond);
      return [
        [
          ...[inFlight, face.tool, face.name, Math.round(median(perSecond))],
          own.length === 1 ? null : `${(spread * 100).toFixed(0)}%`,
          ...[middle((one) => one.p50Ms), middle((one) => one.p99Ms)],
          ...[Math.round(middle((one) => one.cpuMicroseconds))],
          Math.round(middle((one) => one.memory.residentMiB)),
        ],
      ];
    }),
  );
  return {
    title,
    columns: ["in flight", "tool", "who", "requests/s", "spread", "p50 ms", "p99 ms", "CPU µs", "RSS MiB"],
    rows,
  };
}

function ratiosTable({ operation, title, runs }: Workload, rounds: readonly Round[]): Table {
  const loads = cellsOf(runs).map(({ inFlight }) => inFlight);
  const rows = loads.flatMap((inFlight) =>
    runs
      .filter((run) => run.inFlight.includes(inFlight))
      .flatMap((run) => run.pairs)
      .flatMap((pair) => {
        const ratios = (["perSecond", "p50Ms", "p99Ms", "cpuMicroseconds"] as const).map((figure) =>
          ratioOf(rounds, { operation, inFlight, pair, figure }),
        );
        if (ratios[0] === undefined) return [];
        return [
          [
            ...[inFlight, pair.ours.tool, `${pair.ours.name} / ${pair.theirs.name}`],
            ...ratios.map((ratio) => ratio?.toFixed(2) ?? null),
          ],
        ];
      }),
  );
  return {
    title: `${title}: ratios`,
    columns: ["in flight", "tool", "who", "requests/s", "p50", "p99", "CPU"],
    rows,
  };
}

/** The median over the rounds of ours by theirs, `undefined` when one was not measured. */
export function ratioOf(
  rounds: readonly Round[],
  { operation, inFlight, pair, figure }: Omit<Goal, "ratio">,
): number | undefined {
  const theirs = of(rounds, operation, inFlight, pair.theirs);
  const ratios = of(rounds, operation, inFlight, pair.ours).flatMap((ours) => {
    const other = theirs.find(({ round }) => round === ours.round);
    return other === undefined ? [] : [ours[figure] / other[figure]];
  });
  return ratios.length === 0 ? undefined : median(ratios);
}

function targetsOf(goals: readonly Goal[], { rounds, workloads }: Throughput): Target[] {
  return goals.flatMap((goal) => {
    const { operation, inFlight, pair, figure, ratio } = goal;
    const measured = ratioOf(rounds, goal);
    if (measured === undefined) return [];
    const title = workloads.find((workload) => workload.operation === operation)?.title ?? operation;
    const keys = pair.ours.variedKeys ? "varied keys" : "one key";
    const what = `${title}, ${inFlight} in flight (${keys}), ${figureNames[figure]}: ${pair.ours.name} against ${pair.theirs.name}`;
    const limit = figure === "perSecond" ? { atLeast: ratio } : { atMost: ratio };
    return [{ what, measured, unit: "x" as const, ...limit }];
  });
}

/** Bars of requests/s and of p99 for each tool, a group for each number of requests in flight. */
function chartsOf({ operation, title, runs }: Workload, rounds: readonly Round[]): Chart[] {
  const cells = cellsOf(runs);
  const tools = [...new Set(cells.flatMap(({ faces }) => faces.map(({ tool }) => tool)))];
  const figures = [
    { y: "requests/s", figure: "perSecond" },
    { y: "p99 ms", figure: "p99Ms" },
  ] as const;
  return tools.flatMap((tool) => {
    const faces = [...new Set(cells.flatMap((cell) => cell.faces))]
      .filter((face) => face.tool === tool)
      .sort((a, b) => a.name.localeCompare(b.name));
    const groups = cells.filter((cell) => cell.faces.some((face) => face.tool === tool));
    return figures.map(({ y, figure }) => ({
      title: `${title}, ${y} (${tool})`,
      ...{ x: "in flight", y },
      groups: groups.map(({ inFlight }) => String(inFlight)),
      lines: faces.map((face) => ({
        name: face.name,
        points: groups.flatMap(({ inFlight }, index) => {
          const own = of(rounds, operation, inFlight, face);
          return own.length === 0 ? [] : [[index, median(own.map((one) => one[figure]))] as const];
        }),
      })),
    }));
  });
}
