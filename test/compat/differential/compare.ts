import { pause } from "../../e2e/wait.ts";
import { allowed, type Difference, showDifference } from "./differences.ts";
import { Session } from "./session.ts";
import type { Json, Step } from "./steps.ts";
import type { FaceName, Target } from "./targets.ts";

/** How long streams may take to tell the same. */
const streamsMs = 5_000;

export interface Verdict {
  /** The first difference that is not meant, as text. */
  readonly wrong: string | undefined;
  readonly compared: number;
  readonly meant: readonly Difference[];
}

/** Runs the same steps on both and compares what they answered and what their streams told. */
export async function compare(
  steps: readonly Step[],
  face: FaceName,
  etcd: Target,
  coracle: Target,
): Promise<Verdict> {
  const lagging = coracle.faces[face].length > 1;
  const left = new Session(etcd.faces[face], steps, lagging);
  const right = new Session(coracle.faces[face], steps, lagging);
  try {
    const [wanted, given] = await Promise.all([left.run(), right.run()]);
    const meant: Difference[] = [];
    let compared = 0;
    for (const [index, step] of steps.entries()) {
      const [a, b] = [wanted[index] ?? null, given[index] ?? null];
      if (a === null || b === null) {
        if (a !== b) return { wrong: showDifference(step, a, b), compared, meant };
        continue;
      }
      compared++;
      if (same(a, b)) continue;
      const difference = allowed(step, a, b);
      if (difference === undefined)
        return { wrong: `step ${index}: ${showDifference(step, a, b)}`, compared, meant };
      meant.push(difference);
      if (difference.ends === true) return { wrong: undefined, compared, meant };
    }
    const wrong = await streamsDiffer(left, right);
    return { wrong, compared, meant };
  } catch (error) {
    return { wrong: `the sequence did not end: ${String(error)}`, compared: 0, meant: [] };
  } finally {
    left.close();
    right.close();
  }
}

/** Streams go on while the others are asked, so the same has to come, not to be there. */
async function streamsDiffer(left: Session, right: Session): Promise<string | undefined> {
  const untilMs = performance.now() + streamsMs;
  for (;;) {
    const [a, b] = [left.streams(), right.streams()];
    const different = Object.keys(a).find((id) => !same(a[id], b[id]) && !observedInPart(id, a[id], b[id]));
    if (different === undefined) return undefined;
    if (performance.now() > untilMs) {
      return `stream ${different}:\n    etcd:    ${JSON.stringify(a[different])}\n    coracle: ${JSON.stringify(b[different])}`;
    }
    await pause(10);
  }
}

/** Who observes an election may miss a leader that is soon followed by another, in etcd and here. */
function observedInPart(id: string, a: Json | undefined, b: Json | undefined): boolean {
  if (!id.startsWith("o")) return false;
  const [few, many] = [controlOf(a), controlOf(b)].sort((x, y) => x.length - y.length);
  let at = 0;
  for (const item of many ?? []) if (at < (few?.length ?? 0) && same(few?.[at], item)) at++;
  return at === few?.length && at > 0;
}

function controlOf(view: Json | undefined): readonly Json[] {
  const control = (view as { readonly control?: Json } | undefined)?.control;
  return Array.isArray(control) ? control : [];
}

/** Equal whatever the order of fields. */
function same(a: unknown, b: unknown): boolean {
  return canonical(a) === canonical(b);
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_, item: unknown) => {
    if (typeof item !== "object" || item === null || Array.isArray(item)) return item;
    return Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
