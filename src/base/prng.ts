/** A source of random numbers that can be replayed from its seed. */
export interface Random {
  /** A float in [0, 1). */
  float(): number;
  /** An integer in [0, bound). `bound` is at least 1 and at most 2^32. */
  below(bound: number): number;
}

/** A seeded generator (sfc32 by Chris Doty-Humphrey): one seed, one sequence, on every runtime. */
export function seededRandom(seed: number): Random {
  let a = 0x9e3779b9 | 0;
  let b = (seed / 0x1_0000_0000) | 0;
  let c = seed | 0;
  let counter = 1;
  const next = (): number => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + sum) | 0;
    return sum >>> 0;
  };
  for (let round = 0; round < 15; round++) next();
  return {
    float: () => next() / 0x1_0000_0000,
    below: (bound) => Math.floor((next() / 0x1_0000_0000) * bound),
  };
}

/**
 * Where a count of requests begins in one life of a process. An answer to an earlier life, which may
 * still be on its way, must not be taken for one to this life.
 */
export function firstNumber(random: Random): number {
  return 1 + random.below(0x1_0000_0000) * 0x1_0000;
}

/** A random id for a cluster, a member or a lease: an integer in [1, 2^53). */
export function randomId(): number {
  const words = crypto.getRandomValues(new Uint32Array(2));
  const id = ((words[0] ?? 0) & 0x1f_ffff) * 0x1_0000_0000 + (words[1] ?? 0);
  return id === 0 ? 1 : id;
}
