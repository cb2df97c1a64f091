import type { RangeOperation } from "../../../src/kv/types.ts";
import { Violation } from "../engine/violation.ts";
import type { Host } from "../members/host.ts";
import type { CommittedLog } from "./committed-log.ts";
import { keyText } from "./model-text.ts";

const whole = { key: new Uint8Array([0]), end: null };

/** At the end, what each member holds is what the log says, now and at revisions in the past. */
export function checkStores(hosts: readonly Host[], committed: CommittedLog): void {
  for (const host of hosts) {
    if (!host.active || host.process === undefined) continue;
    const { state } = host.process.node;
    const { revision, compactRevision } = state;
    for (const past of [0, 1, 3, 10, 40]) {
      const at = revision - past;
      if (at < Math.max(1, compactRevision)) continue;
      const request: RangeOperation = { type: "range", ...whole, revision: past === 0 ? 0 : at, limit: 0 };
      const found = state.range(request).keys.map(keyText).join();
      const expected = committed.model.read(whole, at).map(keyText).join();
      if (found === expected) continue;
      throw new Violation(
        "content of the store",
        `${host.name} holds at revision ${at}: ${found}; the log says ${expected}`,
      );
    }
  }
}
