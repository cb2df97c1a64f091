import type { KeyValue } from "../kv/types.ts";
import { bytesFields, leaseItem } from "./documents.ts";

/** Text whose bytes are its JSON. */
const plain = /^[ !#-[\]-~]*$/;
const ascii = new TextDecoder("latin1");

function keyFields(key: Uint8Array): string {
  // Whatever is no ASCII comes out as something that the pattern refuses.
  const text = ascii.decode(key);
  if (plain.test(text)) return `"key":"${text}","key_base64":"${key.toBase64()}"`;
  return JSON.stringify(bytesFields("key", key, "json")).slice(1, -1);
}

/**
 * The fields of `keyValueDocument` as JSON, without the braces. Streams write so many of them that
 * making a document first costs them most of their time.
 */
export function keyValueJson(keyValue: KeyValue, withValue: boolean): string {
  const { key, value, createRevision, modRevision, version, lease } = keyValue;
  const valueField = withValue ? `,"value_base64":"${value.toBase64()}"` : "";
  const numbers = `"create_revision":${createRevision},"mod_revision":${modRevision},"version":${version}`;
  return `${keyFields(key)}${valueField},${numbers},"lease":${JSON.stringify(leaseItem(lease, "json"))}`;
}

/** The same of a key that was deleted. */
export function deletedKeyJson({ key, modRevision }: KeyValue): string {
  return `${keyFields(key)},"mod_revision":${modRevision}`;
}
