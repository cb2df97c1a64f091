/**
 * The Huffman code of HPACK (RFC 7541, appendix B). It is canonical: the lengths of the codes fix them.
 * One item for each byte value, and the last for the end of a string, which only pads.
 */
const codeBits: readonly number[] = [
  ...[13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28],
  ...[28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28],
  ...[6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6],
  ...[5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10],
  ...[13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7],
  ...[7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6],
  ...[15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5],
  ...[6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28],
  ...[20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23],
  ...[24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24],
  ...[22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23],
  ...[21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23],
  ...[26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25],
  ...[19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27],
  ...[20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23],
  ...[26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26],
  30,
];

const endOfString = 256;

/** A node has its two children at 2n and 2n + 1: a node above zero, a symbol as -1 - symbol, 0 for none. */
const tree: Int16Array = buildTree();

function buildTree(): Int16Array {
  const nodes = [0, 0];
  const symbols = codeBits.map((_, symbol) => symbol);
  symbols.sort((a, b) => (codeBits[a] ?? 0) - (codeBits[b] ?? 0) || a - b);
  let code = 0;
  let bits = 0;
  for (const symbol of symbols) {
    const wanted = codeBits[symbol] ?? 0;
    code <<= wanted - bits;
    bits = wanted;
    let node = 0;
    for (let bit = bits - 1; bit > 0; bit--) {
      const at = 2 * node + ((code >> bit) & 1);
      if ((nodes[at] ?? 0) === 0) {
        nodes[at] = nodes.length / 2;
        nodes.push(0, 0);
      }
      node = nodes[at] ?? 0;
    }
    nodes[2 * node + (code & 1)] = -1 - symbol;
    code++;
  }
  return Int16Array.from(nodes);
}

/** @returns the text, a character for each byte, or `undefined` when these are no complete codes. */
export function huffmanDecode(bytes: Uint8Array): string | undefined {
  let text = "";
  let node = 0;
  let pending = 0;
  let onlyOnes = true;
  for (const byte of bytes) {
    for (let bit = 7; bit >= 0; bit--) {
      const one = (byte >> bit) & 1;
      const next = tree[2 * node + one] ?? 0;
      if (next < 0) {
        const symbol = -1 - next;
        if (symbol === endOfString) return undefined;
        text += String.fromCharCode(symbol);
        node = 0;
        pending = 0;
        onlyOnes = true;
      } else {
        node = next;
        pending++;
        onlyOnes &&= one === 1;
      }
    }
  }
  // What is left is padding: fewer than eight bits, all of them ones.
  return pending < 8 && onlyOnes ? text : undefined;
}
