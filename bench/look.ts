import { parseArgs } from "node:util";
import { temporaryFolder } from "../test/e2e/cluster.ts";
import { pairs } from "./faces.ts";
import { renderPart } from "./markdown.ts";
import { machineName } from "./results.ts";
import { measureThroughput } from "./throughput.ts";
import { throughputResult } from "./throughput-report.ts";
import type { Operation, SystemName } from "./types.ts";

/* One load of core or wide alone, again and again, for the work on one figure. Keeps no results. */

const operations: readonly Operation[] = [
  ...(["put", "put-16k", "get", "get-serializable", "mix", "range", "txn"] as const),
];
const systems: readonly SystemName[] = ["coracle", "etcd", "prototype"];

const usage = `npm run bench:look -- [options]
  --operations put,get  of ${operations.join(", ")}; default put
  --in-flight 1,64      default 64
  --pairs grpc,wrk      of ${Object.keys(pairs).join(", ")}; default grpc
  --only coracle        of ${systems.join(", ")}: this one alone
  --repeats N           default 3
  --seconds N           default 3`;

function chosen() {
  const { values } = parseArgs({
    options: {
      operations: { type: "string", default: "put" },
      "in-flight": { type: "string", default: "64" },
      pairs: { type: "string", default: "grpc" },
      only: { type: "string" },
      repeats: { type: "string", default: "3" },
      seconds: { type: "string", default: "3" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(usage);
    process.exit(0);
  }
  const only = values.only;
  return {
    operations: values.operations.split(",").map((name) => one("operation", name, operations)),
    inFlight: values["in-flight"].split(",").map(Number),
    pairs: values.pairs
      .split(",")
      .map((name) => pairs[one("pair", name, Object.keys(pairs) as (keyof typeof pairs)[])]),
    systems: only === undefined ? systems : [one("system", only, systems)],
    repeats: Number(values.repeats),
    seconds: Number(values.seconds),
  };
}

function one<T extends string>(what: string, name: string, all: readonly T[]): T {
  const found = all.find((each) => each === name);
  if (found !== undefined) return found;
  console.error(`there is no ${what} ${name}: ${all.join(", ")}\n\n${usage}`);
  process.exit(2);
}

const { operations: wanted, inFlight, pairs: compared, systems: allowed, repeats, seconds } = chosen();
const used = new Set(compared.flatMap(({ ours, theirs }) => [ours.system, theirs.system]));
const plan = {
  systems: allowed.filter((name) => used.has(name)),
  workloads: wanted.map((operation) => ({
    operation,
    title: operation,
    runs: [{ inFlight, pairs: compared }],
  })),
};
const folder = temporaryFolder("bench-look");
const log = (line: string): void => console.log(line);
const measured = await measureThroughput(plan, { quick: false, repeats, seconds, folder, log });
const result = throughputResult({ part: "look", title: "A look" }, measured, []);
console.log(`\n${renderPart({ ...result, machine: machineName() })}`);
process.exit(0);
