import { assert } from "../base/assert.ts";
import { type Int64, isInt64, packInt64, unpackInt64 } from "../base/int64.ts";
import { WireError } from "./wire-error.ts";

/*
 * Checks of decoded items by hand. They run several times a command on every member, where a schema
 * library took four times as long as everything else.
 */

export type Items = readonly unknown[];

/** An array of any length. */
export function arrayItem(item: unknown): Items {
  if (!Array.isArray(item)) throw expected("an array", item);
  return item;
}

/** Reads every item of an array. */
export function listItem<T>(item: unknown, read: (item: unknown) => T): T[] {
  return arrayItem(item).map((inner) => read(inner));
}

/** An array of exactly this length. */
export function tupleItem(item: unknown, length: number): Items {
  const items = arrayItem(item);
  expectItems(items, length);
  return items;
}

export function expectItems(items: Items, length: number): void {
  if (items.length !== length) {
    throw new WireError(`an array has ${items.length} items instead of ${length}`);
  }
}

/** An integer from 0 to `max`. */
export function uintItem(item: unknown, max: number = Number.MAX_SAFE_INTEGER): number {
  const value = intItem(item);
  if (value < 0 || value > max) throw new WireError(`${value} is not from 0 to ${max}`);
  return value;
}

/** A safe integer of either sign. */
export function intItem(item: unknown): number {
  if (typeof item !== "number" || !Number.isSafeInteger(item)) throw expected("an integer", item);
  return item;
}

/** An integer of 64 bits, as `int64Form` writes it. */
export function int64Item(item: unknown): Int64 {
  const value = unpackInt64(item);
  if (value === undefined) throw expected("an integer of 64 bits", item);
  return value;
}

export function booleanItem(item: unknown): boolean {
  if (typeof item !== "boolean") throw expected("a boolean", item);
  return item;
}

export function bytesItem(item: unknown): Uint8Array {
  if (!(item instanceof Uint8Array)) throw expected("a byte string", item);
  return item;
}

export function textItem(item: unknown): string {
  if (typeof item !== "string") throw expected("text", item);
  return item;
}

/** An integer from 0 to 2^53 - 1 that is about to be written: anything else could not be read again. */
export function uint(value: number): number {
  assert(Number.isSafeInteger(value) && value >= 0, `${value} is no unsigned integer`);
  return value;
}

/** A safe integer that is about to be written. */
export function int(value: number): number {
  assert(Number.isSafeInteger(value), `${value} is no integer`);
  return value;
}

/** Any integer of 64 bits that is about to be written: a safe one as it is, others as 8 bytes. */
export function int64Form(value: Int64): number | Uint8Array {
  assert(isInt64(value), `${value} is no integer of 64 bits`);
  return packInt64(value);
}

function expected(what: string, item: unknown): WireError {
  const found = item === null ? "null" : Array.isArray(item) ? "an array" : `a ${typeof item}`;
  return new WireError(`${found} stands where ${what} is expected`);
}
