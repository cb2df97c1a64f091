import type { Random } from "../base/prng.ts";

/** A range of keys [start, end), `end` null for no bound, and what stands for it. */
interface Node<T> {
  readonly start: string;
  readonly end: string | null;
  readonly item: T;
  /** Orders nodes of equal start. */
  readonly id: number;
  readonly priority: number;
  /** The largest end in this subtree. */
  maxEnd: string | null;
  left: Node<T> | undefined;
  right: Node<T> | undefined;
}

export interface IntervalHandle {
  readonly start: string;
  readonly id: number;
}

/**
 * Ranges of keys, to be asked which of them hold a key, in O(log n + found): a treap (Seidel and
 * Aragon, 1996) ordered by start, whose nodes know the largest end below them. Keys are strings with
 * one char a byte, so that `<` orders them as bytes.
 */
export class IntervalTree<T> {
  readonly #random: Random;
  #root: Node<T> | undefined;
  #ids = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  insert(start: string, end: string | null, item: T): IntervalHandle {
    const node: Node<T> = {
      start,
      end,
      item,
      id: ++this.#ids,
      priority: this.#random.below(2 ** 32),
      maxEnd: end,
      left: undefined,
      right: undefined,
    };
    this.#root = insertNode(this.#root, node);
    return node;
  }

  remove(handle: IntervalHandle): void {
    this.#root = removeNode(this.#root, handle);
  }

  /** Calls `visit` for each range that holds `key`, in the order of their starts. */
  visit(key: string, visit: (item: T) => void): void {
    if (this.#root !== undefined) visitNode(this.#root, key, visit);
  }
}

function isBefore(a: IntervalHandle, b: IntervalHandle): boolean {
  return a.start < b.start || (a.start === b.start && a.id < b.id);
}

function visitNode<T>(node: Node<T>, key: string, visit: (item: T) => void): void {
  if (node.maxEnd !== null && node.maxEnd <= key) return;
  if (node.left !== undefined) visitNode(node.left, key, visit);
  if (node.start > key) return;
  if (node.end === null || node.end > key) visit(node.item);
  if (node.right !== undefined) visitNode(node.right, key, visit);
}

function update<T>(node: Node<T>): Node<T> {
  let maxEnd = node.end;
  for (const child of [node.left, node.right]) {
    if (child === undefined || maxEnd === null) continue;
    if (child.maxEnd === null || child.maxEnd > maxEnd) maxEnd = child.maxEnd;
  }
  node.maxEnd = maxEnd;
  return node;
}

function insertNode<T>(tree: Node<T> | undefined, node: Node<T>): Node<T> {
  if (tree === undefined) return node;
  if (isBefore(node, tree)) {
    tree.left = insertNode(tree.left, node);
    if (tree.left.priority > tree.priority) return rotateRight(tree, tree.left);
  } else {
    tree.right = insertNode(tree.right, node);
    if (tree.right.priority > tree.priority) return rotateLeft(tree, tree.right);
  }
  return update(tree);
}

function rotateRight<T>(tree: Node<T>, left: Node<T>): Node<T> {
  tree.left = left.right;
  left.right = update(tree);
  return update(left);
}

function rotateLeft<T>(tree: Node<T>, right: Node<T>): Node<T> {
  tree.right = right.left;
  right.left = update(tree);
  return update(right);
}

function removeNode<T>(tree: Node<T> | undefined, handle: IntervalHandle): Node<T> | undefined {
  if (tree === undefined) return undefined;
  if (tree.id === handle.id) return merge(tree.left, tree.right);
  if (isBefore(handle, tree)) tree.left = removeNode(tree.left, handle);
  else tree.right = removeNode(tree.right, handle);
  return update(tree);
}

/** Joins two trees of which all of `left` stands before all of `right`. */
function merge<T>(left: Node<T> | undefined, right: Node<T> | undefined): Node<T> | undefined {
  if (left === undefined) return right;
  if (right === undefined) return left;
  if (left.priority > right.priority) {
    left.right = merge(left.right, right);
    return update(left);
  }
  right.left = merge(left, right.left);
  return update(right);
}
