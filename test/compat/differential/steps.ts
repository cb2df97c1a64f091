/** One seed's sequence: data alone, so that it can be shrunk and printed. */

export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

/**
 * In a body, `{"$rev": 3}` stands for the third revision after the seed's first (`"$number"` instead of
 * `"$rev"` gives it as a number), and `{"$answer": [5, "leader"]}` for that field of step 5's answer.
 */
export type Step =
  /** A unary call, or a stream of which all is read: keep-alives, a snapshot. */
  | { readonly kind: "call"; readonly path: string; readonly body: Json; readonly member: number }
  /** Whatever stands there, by the gateway only. */
  | { readonly kind: "raw"; readonly path: string; readonly text: string; readonly member: number }
  /** A stream that stays open to the end of the seed. */
  | {
      readonly kind: "open";
      readonly id: string;
      readonly path: string;
      readonly documents: readonly Json[];
      readonly member: number;
    }
  /** Another request on an open stream, by gRPC only: the gateway's are half-duplex. */
  | { readonly kind: "send"; readonly id: string; readonly document: Json }
  /** A call that has to wait; the next step comes when so many keys begin with the prefix. */
  | {
      readonly kind: "wait";
      readonly path: string;
      readonly body: Json;
      readonly member: number;
      readonly prefix: string;
      readonly keys: number;
    }
  /** Until the calls that waited are answered. */
  | { readonly kind: "settle" };

export function base64(text: string): string {
  return Buffer.from(text, "latin1").toString("base64");
}

export function describeStep(step: Step): string {
  switch (step.kind) {
    case "call":
      return `POST ${step.path} ${JSON.stringify(step.body).slice(0, 2000)}`;
    case "raw":
      return `POST ${step.path} ${step.text.slice(0, 300)}`;
    case "open":
      return `open ${step.id} ${step.path} ${step.documents.map((document) => JSON.stringify(document)).join(" ")}`;
    case "send":
      return `send ${step.id} ${JSON.stringify(step.document)}`;
    case "settle":
      return "settle";
    case "wait":
      return `wait POST ${step.path} ${JSON.stringify(step.body)}`;
  }
}
