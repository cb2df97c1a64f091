import type { Io } from "./io.ts";

export type OutputForm = "json" | "table";

/** Columns padded to their widest cell; numbers to the right. */
export function renderTable(
  header: readonly string[],
  rows: readonly (readonly (string | number)[])[],
): string {
  const texts = [header, ...rows.map((row) => row.map(String))];
  const widths = header.map((_, column) => Math.max(...texts.map((row) => row[column]?.length ?? 0)));
  const toTheRight = header.map(
    (_, column) =>
      rows.length > 0 && rows.every((row) => typeof row[column] === "number" || row[column] === "-"),
  );
  const lines = texts.map((row) =>
    row
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return toTheRight[column] ? cell.padStart(width) : cell.padEnd(width);
      })
      .join("  ")
      .trimEnd(),
  );
  return `${lines.join("\n")}\n`;
}

/** A document as JSON on one line, so that scripts can read line by line. */
export function printJson(io: Io, document: unknown): Promise<void> {
  return io.out(`${JSON.stringify(document)}\n`);
}
