import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { atEnd } from "../../e2e/process.ts";
import type { System } from "./systems.ts";

/** What one check came to. */
export type Outcome =
  | { readonly kind: "ok" }
  | { readonly kind: "failed"; readonly reason: string }
  /** Nothing to run here, or meant to differ: with the reason. */
  | { readonly kind: "skipped"; readonly reason: string };

export interface Client {
  readonly name: string;
  /** Why it cannot run on this machine. */
  missing(): Promise<string | undefined>;
  /** Runs every check against the system, and tells each as it ends. */
  run(system: System, tell: (check: string, outcome: Outcome) => void): Promise<void>;
}

const reasonCharactersMax = 600;

export const ok: Outcome = { kind: "ok" };

export function failed(error: unknown): Outcome {
  const reason = error instanceof Error ? error.message : String(error);
  return { kind: "failed", reason: reason.slice(0, reasonCharactersMax) };
}

/** Thrown by a check that does not apply to the system, with the reason. */
export class NotHere extends Error {}

export async function outcomeOf(check: () => Promise<void>): Promise<Outcome> {
  try {
    await check();
    return ok;
  } catch (error) {
    return error instanceof NotHere ? { kind: "skipped", reason: error.message } : failed(error);
  }
}

export function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "coracle-clients-"));
  atEnd(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
