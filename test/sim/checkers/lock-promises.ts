import { equalBytes, fromUtf8 } from "../../../src/base/bytes.ts";
import { queueOf } from "../../../src/concurrency/claim.ts";
import type { Claim } from "../../../src/concurrency/types.ts";
import { Violation } from "../engine/violation.ts";
import type { ModelStore } from "./model-store.ts";

/** A lock has one holder at a revision, and the fencing tokens of holders rise. */
export class LockPromises {
  readonly #model: ModelStore;
  /** By name: the newest revision at which a holder wrote under its lock, and its token. */
  readonly #writes = new Map<string, { readonly revision: number; readonly token: number }[]>();

  constructor(model: ModelStore) {
    this.#model = model;
  }

  /** A client is told that it holds the lock since `claim.revision`: there its claim is the first. */
  acquired({ name, key, createRevision, revision }: Claim, knownRevision: number): void {
    const claims = this.#model.read(queueOf(name), revision);
    const first = claims.sort((a, b) => a.createRevision - b.createRevision)[0];
    const holds =
      first !== undefined && equalBytes(first.key, key) && first.createRevision === createRevision;
    if (!holds) {
      throw new Violation(
        "lock",
        `the claim of revision ${createRevision} on ${fromUtf8(name)} was told to be first at ${revision}, where ${first?.createRevision ?? "nothing"} is`,
      );
    }
    if (revision < knownRevision) {
      throw new Violation(
        "lock",
        `${fromUtf8(name)} was told to be held at revision ${revision}, but ${knownRevision} was known before it was asked for`,
      );
    }
  }

  /** A holder wrote what its lock protects. */
  wrote({ name, createRevision: token }: Claim, revision: number): void {
    const lock = fromUtf8(name);
    const writes = this.#writes.get(lock) ?? [];
    this.#writes.set(lock, writes);
    writes.push({ revision, token });
    writes.sort((a, b) => a.revision - b.revision);
    const wrong = writes.findIndex((write, at) => at > 0 && write.token < (writes[at - 1]?.token ?? 0));
    if (wrong < 0) return;
    throw new Violation(
      "lock",
      `${lock} was written under token ${writes[wrong - 1]?.token} and later under ${writes[wrong]?.token}`,
    );
  }
}
