import { concatBytes } from "../base/bytes.ts";
import { invalidArgument } from "./errors.ts";

/** Where a listing goes on. Clients treat its text as opaque. */
export interface Cursor {
  /** All pages of a listing are read at this revision. */
  readonly revision: number;
  readonly next: Uint8Array;
  readonly end: Uint8Array | null;
}

const successor = new Uint8Array(1);

/** The cursor behind the last key of a page. */
export function cursorAfter(lastKey: Uint8Array, end: Uint8Array | null, revision: number): string {
  const next = base64url(concatBytes([lastKey, successor]));
  return `${revision}.${next}.${end === null ? "" : base64url(end)}`;
}

function base64url(bytes: Uint8Array): string {
  return bytes.toBase64({ alphabet: "base64url", omitPadding: true });
}

/** @throws CoracleError invalid_argument */
export function parseCursor(text: string): Cursor {
  const parts = /^([1-9]\d{0,15})\.([\w-]+)\.([\w-]*)$/.exec(text);
  try {
    const revision = Number(parts?.[1]);
    const next = fromBase64url(parts?.[2] ?? "");
    const end = parts?.[3] === "" ? null : fromBase64url(parts?.[3] ?? "");
    if (parts !== null && Number.isSafeInteger(revision) && next.length > 0) return { revision, next, end };
  } catch {
    // Falls through to the one error.
  }
  throw invalidArgument(
    "The parameter cursor is none that a listing gave; start the listing again without it.",
  );
}

function fromBase64url(text: string): Uint8Array {
  return Uint8Array.fromBase64(text, { alphabet: "base64url" });
}
