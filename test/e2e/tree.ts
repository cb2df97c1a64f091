import { readdirSync, readFileSync, statSync } from "node:fs";
import { join, relative } from "node:path";

export interface TreeFile {
  /** Relative to the folder that was walked. */
  readonly path: string;
  readonly content: Buffer;
}

export interface Tree {
  readonly files: readonly TreeFile[];
  readonly bytes: number;
  /** Files over the value limit. */
  readonly tooLarge: number;
}

/** Every regular file under `folder` with its content, up to the limits; links are not followed. */
export function readTree(
  folder: string,
  limits: { readonly valueBytesMax: number; readonly filesMax: number; readonly bytesMax: number },
): Tree {
  const files: TreeFile[] = [];
  let bytes = 0;
  let tooLarge = 0;
  const walk = (current: string): void => {
    for (const entry of readdirSync(current, { withFileTypes: true })) {
      const path = join(current, entry.name);
      if (entry.isDirectory()) walk(path);
      else if (entry.isFile()) {
        const size = statSync(path).size;
        if (size > limits.valueBytesMax) tooLarge++;
        else if (files.length < limits.filesMax && bytes + size <= limits.bytesMax) {
          files.push({ path: relative(folder, path), content: readFileSync(path) });
          bytes += size;
        }
      }
    }
  };
  walk(folder);
  return { files, bytes, tooLarge };
}
