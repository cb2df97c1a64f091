/**
 * The rows of one key form a chain, newest first. Each row knows the row before it (`prev`) and one
 * that is further back (`jump`), so that the row of a revision in the past is found in a number of
 * steps that grows with the logarithm of the chain's length.
 *
 * Every 16th row of a chain is a milestone. A row between milestones jumps to the newest milestone. A
 * milestone jumps to an older one, as in the skew-binary lists of E. W. Myers ("An applicative
 * random-access stack", 1983): those need nothing but an append, and no row is ever changed. With
 * milestones only one put in 32 has to look at older rows to know where its row jumps to.
 */

/** Where a row stands in the chain of its key. Row numbers are sequence numbers, 0 for none. */
export interface Links {
  readonly seq: number;
  readonly prev: number;
  readonly jump: number;
}

/** The newest row of a chain. */
export interface ChainHead extends Links {
  /** Rows of the chain, those that compaction removed included. */
  readonly links: number;
}

const milestoneEvery = 16;

/**
 * Where the row jumps to that comes after `head`.
 *
 * @param jumpOf gives the `jump` of a row; 0 when compaction removed it.
 */
export function jumpAfter(head: ChainHead, jumpOf: (seq: number) => number): number {
  const milestone = head.links % milestoneEvery === 0 ? head.seq : head.jump;
  const links = head.links + 1;
  if (links % milestoneEvery !== 0) return milestone;
  // The row becomes a milestone. The older ones stand in trees of 2^k - 1, of which the newest two
  // may be of one size: then the new one is the root of both, and jumps past them.
  if (!newestTreesAreEqual(links / milestoneEvery - 1)) return milestone;
  const second = jumpOf(milestone);
  // What compaction removed is never read again: nothing needs to lead there.
  return second === 0 ? 0 : jumpOf(second);
}

/** Whether the last two digits of a number in skew-binary form are equal. */
function newestTreesAreEqual(milestones: number): boolean {
  let left = milestones;
  let size = 1;
  while (size <= left) size = size * 2 + 1;
  let before = 0;
  for (; left > 0; size = (size - 1) / 2) {
    while (size > 0 && size <= left) {
      left -= size;
      if (left === 0) return before === size;
      before = size;
    }
  }
  return false;
}

/**
 * The newest row of a chain that is not newer than `at`, below a row that is: the row after it. What
 * that one says of its `prev` is sure even when compaction removed `prev`, a tombstone.
 *
 * @param rowAt reads a row; only rows newer than `at` are asked for, which are never removed.
 */
export function rowAfter<Row extends Links>(from: Row, at: number, rowAt: (seq: number) => Row): Row {
  let row = from;
  for (;;) {
    if (row.jump > at) row = rowAt(row.jump);
    else if (row.prev > at) row = rowAt(row.prev);
    else return row;
  }
}
