import { seededRandom } from "../../../src/base/prng.ts";
import { kubernetesStep } from "./kubernetes-steps.ts";
import { kvStep, rawStep } from "./kv-steps.ts";
import { electionSteps, leaseStep, lockSteps, otherStep } from "./recipe-steps.ts";
import { base64, type Json, type Step } from "./steps.ts";
import { Values } from "./values.ts";

/** The sequence of a seed. */
export function generate(seed: number): Step[] {
  const v = new Values(seededRandom(seed));
  const steps: Step[] = [];
  // Below any id that a server would choose.
  const leases = [1000 + v.below(100), 2000 + v.below(100)];
  const granted: number[] = [];
  const length = 10 + v.below(30);
  let streams = 0;
  const member = (): number => v.below(3);
  while (steps.length < length) {
    const known = { leases: granted, revisions: steps.length };
    switch (v.below(27)) {
      case 0:
      case 1: {
        const id = leases[granted.length];
        if (id === undefined) steps.push(leaseStep(v, known, member()));
        else {
          granted.push(id);
          steps.push(call("/v3/lease/grant", { TTL: v.int(100 + v.below(500)), ID: v.int(id) }, member()));
        }
        break;
      }
      case 2:
      case 3:
        steps.push(leaseStep(v, known, member()));
        break;
      case 4:
      case 5:
        if (streams < 3) steps.push(openWatch(v, `w${streams++}`, steps.length, member()));
        break;
      case 6:
        if (streams > 0) steps.push(watchRequest(v, `w${v.below(streams)}`, steps.length));
        break;
      case 7:
      case 8:
        steps.push(rawStep(v, member()));
        break;
      case 9:
        if (v.oneIn(3)) steps.push(...lockSteps(v, steps.length, member));
        else if (v.oneIn(2)) steps.push(...electionSteps(v, steps.length, member));
        else steps.push(otherStep(v, member()));
        break;
      case 10:
      case 11:
      case 12:
        steps.push(kubernetesStep(v, steps.length, member()));
        break;
      default:
        steps.push(kvStep(v, known, member()));
    }
  }
  return steps;
}

function call(path: string, body: Json, member: number): Step {
  return { kind: "call", path, body, member };
}

function createRequest(v: Values, known: number): Json {
  const range = v.oneIn(4) ? { range_end: base64("\0") } : v.range();
  return {
    create_request: {
      ...range,
      ...v.maybe(2, "start_revision", () => v.revision(known)),
      ...v.maybe(2, "prev_kv", () => true),
      ...v.maybe(6, "filters", () => [v.pick(["NOPUT", "NODELETE", 0, 1])]),
      ...v.maybe(6, "watch_id", () => v.pick<Json>([3, "5", 0, -2])),
      ...v.maybe(8, "fragment", () => true),
      ...v.maybe(8, "progress_notify", () => true),
    },
  };
}

function openWatch(v: Values, id: string, known: number, member: number): Step {
  const documents = Array.from({ length: 1 + v.below(3) }, () => createRequest(v, known));
  return { kind: "open", id, path: "/v3/watch", documents, member };
}

function watchRequest(v: Values, id: string, known: number): Step {
  const document: Json = v.pick<Json>([
    createRequest(v, known),
    { cancel_request: { watch_id: v.below(4) } },
    { progress_request: {} },
    {},
  ]);
  return { kind: "send", id, document };
}
