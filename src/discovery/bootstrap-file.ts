import { readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import * as v from "valibot";
import { CoracleError, messageOf } from "../base/errors.ts";
import { bootstrapPlanSchema } from "../wire/requests.ts";
import { syncFolder, writeDurably } from "./durable-file.ts";

const stateSchema = v.strictObject({
  version: v.literal(1),
  plan: bootstrapPlanSchema,
  /** Everybody has accepted the plan: the cluster exists. */
  committed: v.boolean(),
});

export type BootstrapRecord = Omit<v.InferOutput<typeof stateSchema>, "version">;

/** The plan that a member accepted, on disk before it says so. Kept in memory by tests. */
export interface BootstrapStore {
  load(): BootstrapRecord | undefined;
  /** Durable when it returns. */
  save(record: BootstrapRecord): void;
  clear(): void;
}

/** `bootstrap.json` in the data folder, which exists only until the member is initialised. */
export class BootstrapFile implements BootstrapStore {
  readonly #path: string;

  constructor(folder: string) {
    this.#path = join(folder, "bootstrap.json");
  }

  /** @throws CoracleError `storage_damaged` when the file is there and does not hold a record. */
  load(): BootstrapRecord | undefined {
    let text: string;
    try {
      text = readFileSync(this.#path, "utf8");
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
      throw new CoracleError("storage_failed", `${this.#path} cannot be read: ${messageOf(error)}.`);
    }
    try {
      const { plan, committed } = v.parse(stateSchema, JSON.parse(text));
      return { plan, committed };
    } catch {
      throw new CoracleError(
        "storage_damaged",
        `${this.#path} is damaged; if no cluster was begun with it yet, delete it on this member and start again.`,
      );
    }
  }

  save(record: BootstrapRecord): void {
    writeDurably(this.#path, `${JSON.stringify({ version: 1, ...record }, null, 2)}\n`);
  }

  clear(): void {
    rmSync(this.#path, { force: true });
    syncFolder(dirname(this.#path));
  }
}
