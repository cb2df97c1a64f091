import { present } from "../../../src/base/assert.ts";
import type { Random } from "../../../src/base/prng.ts";
import { base64, type Json } from "./steps.ts";

/** Random parts of requests, valid for the most part. */
export class Values {
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  /** True once in `times`. */
  oneIn(times: number): boolean {
    return this.#random.below(times) === 0;
  }

  below(bound: number): number {
    return this.#random.below(bound);
  }

  pick<T>(items: readonly T[]): T {
    return present(items[this.#random.below(items.length)], "an item to choose");
  }

  /** Few keys, so that requests meet. */
  keyText(): string {
    return this.pick(["a", "b", "c", "aa", "ab", "b\0", "b\xff", "d/e", "\0", "\xff\xff", "zz"]);
  }

  key(): string {
    return this.oneIn(40) ? "" : base64(this.keyText());
  }

  /** A range: one key, an interval (also an empty or an inverted one), from a key on, everything. */
  range(): { readonly key: string; readonly range_end?: string } {
    const key = this.key();
    switch (this.below(6)) {
      case 0:
        return { key, range_end: base64("\0") };
      case 1:
        return { key: base64("\0"), range_end: base64("\0") };
      case 2:
      case 3:
        return { key, range_end: base64(this.pick(["b", "c", "e", "zz", "a", "\xff"])) };
      case 4:
        return { key: base64("a"), range_end: base64("d") };
      default:
        return { key };
    }
  }

  value(): string {
    return base64(this.pick(["", "v", "w", "x1", "long".repeat(this.below(50)), "\0\xff", "v"]));
  }

  /** An int64 in either form. */
  int(value: number): Json {
    return this.oneIn(2) ? value : String(value);
  }

  oddInt(): Json {
    return this.pick([
      0,
      -1,
      "-5",
      "9223372036854775807",
      "-9223372036854775808",
      "9007199254740993",
      1,
      "2",
      100,
    ]);
  }

  /** A revision around those of the seed, of which about `known` have been. */
  revision(known: number): Json {
    if (this.oneIn(12)) return this.oddInt();
    const delta = this.oneIn(5) ? known + 1 + this.below(3) : this.below(known + 2) - (this.oneIn(8) ? 3 : 0);
    return { [this.oneIn(2) ? "$rev" : "$number"]: delta };
  }

  bool(): Json {
    return this.oneIn(2);
  }

  /** A field that is left out half of the time. */
  maybe(times: number, name: string, value: () => Json): Record<string, Json> {
    return this.oneIn(times) ? { [this.#spelled(name)]: value() } : {};
  }

  #spelled(name: string): string {
    if (!this.oneIn(4)) return name;
    return name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
  }
}
