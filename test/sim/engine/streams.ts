import { type Random, seededRandom } from "../../../src/base/prng.ts";

/** FNV-1a over UTF-16 units. */
export function hashText(text: string, start = 0x811c_9dc5): number {
  let hash = start;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x0100_0193);
  return hash >>> 0;
}

/**
 * A generator of its own for each part of the simulation, all from one seed: what one part draws
 * does not move the others, so that a shortened fault schedule leaves the rest alike.
 */
export function stream(seed: number, name: string): Random {
  return seededRandom(hashText(`${seed}/${name}`) * 0x10_0000 + (seed % 0x10_0000));
}

/** Helpers over a generator. */
export function between(random: Random, min: number, max: number): number {
  return min + random.float() * (max - min);
}

export function chance(random: Random, probability: number): boolean {
  return random.float() < probability;
}

export function pick<T>(random: Random, items: readonly T[]): T {
  return items[random.below(items.length)] as T;
}

/** One of the keys, each as likely as its weight says. */
export function pickWeighted<K extends string>(random: Random, weights: Readonly<Record<K, number>>): K {
  const entries = Object.entries(weights) as [K, number][];
  let total = 0;
  for (const [, weight] of entries) total += weight;
  let at = random.float() * total;
  for (const [key, weight] of entries) {
    at -= weight;
    if (at < 0) return key;
  }
  return (entries[entries.length - 1] as [K, number])[0];
}

/** A latency: mostly near `typical`, with a long tail. */
export function latency(random: Random, typical: number): number {
  const draw = random.float();
  const tail = draw > 0.98 ? 1 + 10 * random.float() : 1;
  return typical * (0.5 + random.float()) * tail;
}
