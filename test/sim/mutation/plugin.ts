import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { plugin } from "bun";
import { mutants } from "../mutants.ts";
import type { Mutant } from "./mutant.ts";

const root = resolve(import.meta.dir, "../../..");

export function findMutant(name: string): Mutant {
  const mutant = mutants.find((candidate) => candidate.name === name);
  if (mutant !== undefined) return mutant;
  throw new Error(
    `there is no mutant "${name}"; there are ${mutants.map(({ name: known }) => known).join(", ")}`,
  );
}

/** The text of a file with the planted bug. Each pattern must stand there exactly once. */
export function mutate(mutant: Mutant, file: string): string {
  let text = readFileSync(join(root, file), "utf8");
  for (const edit of mutant.edits) {
    if (edit.file !== file) continue;
    const parts = text.split(edit.find);
    if (parts.length !== 2) {
      throw new Error(
        `the pattern of ${mutant.name} stands ${parts.length - 1} times in ${file}: ${edit.find}`,
      );
    }
    text = parts.join(edit.replace);
  }
  return text;
}

/** Plants a bug in all modules that are imported from now on. */
export function plant(name: string): void {
  const mutant = findMutant(name);
  for (const file of new Set(mutant.edits.map((edit) => edit.file))) {
    const contents = mutate(mutant, file);
    const path = join(root, file).replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
    plugin({
      name: `mutant ${mutant.name} ${file}`,
      setup(build) {
        build.onLoad({ filter: new RegExp(`^${path}$`) }, () => ({ contents, loader: "ts" }));
      },
    });
  }
}
