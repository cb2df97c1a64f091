import { emptyBytes } from "../base/bytes.ts";
import type { Entry, EntryKind, HardState } from "../raft/types.ts";

/** What the main thread asks of the log-writer worker. */
export type WriterRequest =
  | {
      readonly type: "open";
      readonly path: string;
      readonly markPath: string;
      /** Bytes of entry data in the file, as counted when it was verified. */
      readonly bytes: number;
      readonly walBytesMax: number;
    }
  /** One transaction. `operations` and `data` are transferred; see `WriteGroup`. */
  | {
      readonly type: "write";
      readonly hardState: HardState;
      readonly operations: Float64Array<ArrayBuffer>;
      readonly data: Uint8Array<ArrayBuffer>;
    }
  | { readonly type: "close" };

/** What the worker answers: one `stored` a `write`, in order. */
export type WriterReply =
  | { readonly type: "stored"; readonly syncMs: number; readonly bytes: number }
  /** The disk is full: the write under way is tried again until there is room. Told once. */
  | { readonly type: "full"; readonly message: string }
  | { readonly type: "failed"; readonly message: string }
  | { readonly type: "closed" };

/** Steps of a transaction on the log. Each is four numbers: a code and up to three operands. */
export const operationCode = {
  /** Drop the entries from an index on. */
  truncate: -1,
  /** Drop everything; the log begins after (index, term). */
  reset: -2,
  /** Entries up to (index, term) are no longer needed. */
  cut: -3,
  // An entry: its kind (0 or more) is the code, then index, term and the length of its data.
} as const;

const operationWidth = 4;

/** Collects what one transaction of the worker will do, in the compact form in which it travels. */
export class WriteGroup {
  #operations: number[] = [];
  readonly #data: Uint8Array[] = [];
  #dataBytes = 0;
  readonly callbacks: ((error?: Error) => void)[] = [];
  /** Whether there is a reason to write it now. */
  urgent = false;

  truncate(from: number): void {
    this.#operations.push(operationCode.truncate, from, 0, 0);
  }

  reset(index: number, term: number): void {
    this.#operations.push(operationCode.reset, index, term, 0);
  }

  cut(index: number, term: number): void {
    this.#operations.push(operationCode.cut, index, term, 0);
  }

  append(entry: Entry): void {
    this.#operations.push(entry.kind, entry.index, entry.term, entry.data.length);
    this.#data.push(entry.data);
    this.#dataBytes += entry.data.length;
  }

  /** The message, with the bytes of all entries copied into one buffer. */
  pack(hardState: HardState): Extract<WriterRequest, { type: "write" }> {
    const data = new Uint8Array(this.#dataBytes);
    let offset = 0;
    for (const part of this.#data) {
      data.set(part, offset);
      offset += part.length;
    }
    return { type: "write", hardState, operations: new Float64Array(this.#operations), data };
  }
}

/** What is done with the steps of a packed group, in order. */
export interface OperationVisitor {
  truncate(from: number): void;
  reset(index: number, term: number): void;
  cut(index: number, term: number): void;
  append(index: number, term: number, kind: EntryKind, data: Uint8Array): void;
}

export function visitOperations(operations: Float64Array, data: Uint8Array, visitor: OperationVisitor): void {
  let offset = 0;
  for (let at = 0; at < operations.length; at += operationWidth) {
    const code = operations[at] as number;
    const index = operations[at + 1] as number;
    const term = operations[at + 2] as number;
    if (code === operationCode.truncate) visitor.truncate(index);
    else if (code === operationCode.reset) visitor.reset(index, term);
    else if (code === operationCode.cut) visitor.cut(index, term);
    else {
      const length = operations[at + 3] as number;
      const bytes = length === 0 ? emptyBytes : data.subarray(offset, offset + length);
      visitor.append(index, term, code as EntryKind, bytes);
      offset += length;
    }
  }
}
