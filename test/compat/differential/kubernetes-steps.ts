import { base64, type Json, type Step } from "./steps.ts";
import type { Values } from "./values.ts";

/** Requests in the shapes of Kubernetes' API server, about few objects, so that they meet. */
export function kubernetesStep(v: Values, known: number, member: number): Step {
  const key = base64(`/registry/pods/${v.pick(["a", "b", "c"])}`);
  const call = (path: string, body: Json): Step => ({ kind: "call", path: `/v3/kv/${path}`, body, member });
  const at = (revision: Json): Json => [{ key, target: "MOD", result: "EQUAL", mod_revision: revision }];
  const put: Json = { request_put: { key, value: v.value() } };
  const get: Json = { request_range: { key } };
  switch (v.below(7)) {
    case 0:
    case 1:
      return call("txn", { compare: at(0), success: [put], ...(v.oneIn(2) ? { failure: [get] } : {}) });
    case 2:
      return call("txn", { compare: at(v.revision(known)), success: [put], failure: [get] });
    case 3:
      return call("txn", {
        compare: at(v.revision(known)),
        success: [{ request_delete_range: { key, prev_kv: v.bool() } }],
        failure: [get],
      });
    case 4: {
      const marker = base64("compact_rev_key");
      return call("txn", {
        compare: [{ key: marker, target: "VERSION", result: "EQUAL", version: v.below(3) }],
        success: [{ request_put: { key: marker, value: base64(String(known)) } }],
        failure: [{ request_range: { key: marker } }],
      });
    }
    case 5: {
      const from = base64(`/registry/pods/${v.pick(["", "a\0", "b\0"])}`);
      const page = { key: from, range_end: base64("/registry/pods0"), limit: v.below(3) };
      return call("range", { ...page, ...v.maybe(2, "revision", () => v.revision(known)) });
    }
    default:
      return call("range", { key: base64("/registry/"), range_end: base64("/registry0"), count_only: true });
  }
}
