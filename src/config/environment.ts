import { environmentName, type OptionSpec, serveOptions } from "./options.ts";

/** Variables of coracle that are no option of `serve`. */
const otherVariables = ["config", "token", "endpoints", "timeout", "stop-with-stdin"].map(environmentName);
const prefix = environmentName("");

/**
 * A variable that is nearly one of ours, so that a slip in an environment file is not taken for "not
 * given". Others pass: Kubernetes, for one, sets CORACLE_PORT for a service of the name coracle.
 */
export function misspelledVariable(
  environment: Readonly<Record<string, string | undefined>>,
): { readonly given: string; readonly meant: string } | undefined {
  const options = Object.values<OptionSpec>(serveOptions).map((spec) => environmentName(spec.name));
  const known = new Set([...options, ...otherVariables]);
  for (const given of Object.keys(environment)) {
    if (!given.startsWith(prefix) || known.has(given)) continue;
    // A short word is near to too many others.
    const slipsMax = Math.min(2, Math.floor((given.length - prefix.length) / 3));
    const meant = [...known].find((name) => slips(given, name) <= slipsMax);
    if (meant !== undefined) return { given, meant };
  }
  return undefined;
}

/** Letters left out, added, changed, or swapped with the next one (optimal string alignment). */
function slips(a: string, b: string): number {
  const rows: number[][] = [];
  const at = (i: number, j: number): number => rows[i]?.[j] ?? Number.POSITIVE_INFINITY;
  for (let i = 0; i <= a.length; i++) {
    const row: number[] = [];
    rows.push(row);
    for (let j = 0; j <= b.length; j++) {
      const changed = at(i - 1, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      row.push(
        i + j === 0
          ? 0
          : Math.min(
              at(i - 1, j) + 1,
              at(i, j - 1) + 1,
              changed,
              swapped ? at(i - 2, j - 2) + 1 : Number.POSITIVE_INFINITY,
            ),
      );
    }
  }
  return at(a.length, b.length);
}
