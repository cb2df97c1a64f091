import manifest from "../../package.json" with { type: "json" };

/** What `compile.ts` writes into the executable; absent when run from source. */
declare const CORACLE_BUILD: { readonly commit: string; readonly target: string } | undefined;

const embedded = typeof CORACLE_BUILD === "undefined" ? undefined : CORACLE_BUILD;

/** Which coracle this is. */
export const buildInfo = {
  version: manifest.version,
  /** The commit it was compiled from; `source` when it runs from source, `unknown` outside a repository. */
  commit: embedded?.commit ?? "source",
  /** The compile target, for instance `linux-x64-musl`; `source` when it runs from source. */
  target: embedded?.target ?? "source",
  /** Whether this process is the one executable, and not a runtime with source files. */
  compiled: embedded !== undefined,
} as const;
