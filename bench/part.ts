/** What a part of the benchmark is given, and what it hands back. A part starts and ends its own members. */

export interface PartOptions {
  /** A short look: one round, few seconds; its figures are not kept. */
  readonly quick: boolean;
  /** Rounds of which the median counts. */
  readonly repeats: number;
  /** Of each measurement. */
  readonly seconds: number;
  /** An empty folder of the part's own, removed at the end. */
  readonly folder: string;
  readonly log: (line: string) => void;
}

export interface Table {
  readonly title: string;
  readonly note?: string;
  readonly columns: readonly string[];
  /** A number is written with as many digits as are worth reading, `null` as an empty cell. */
  readonly rows: readonly (readonly (string | number | null)[])[];
}

/** A ratio (or figure) against what was asked. `atLeast` or `atMost`, one of both. */
export interface Target {
  readonly what: string;
  readonly measured: number;
  readonly unit: "x" | "ms" | "MiB";
  readonly atLeast?: number;
  readonly atMost?: number;
}

export interface Chart {
  readonly title: string;
  readonly x: string;
  readonly y: string;
  /**
   * With names the chart has groups of bars: a point's x is the index of its group's name. Without,
   * lines over a linear x.
   */
  readonly groups?: readonly string[];
  readonly lines: readonly {
    readonly name: string;
    readonly points: readonly (readonly [number, number])[];
  }[];
}

export interface PartResult {
  readonly part: string;
  readonly title: string;
  /** What was done, a sentence each: rounds, load, what a figure means. */
  readonly about: readonly string[];
  /** Like `2026-11-21`. */
  readonly measuredOn: string;
  /** Of the systems that ran; coracle's holds its commit. */
  readonly versions: Readonly<Record<string, string>>;
  readonly tables: readonly Table[];
  readonly targets: readonly Target[];
  readonly charts: readonly Chart[];
}

export interface Part {
  /** Of the file of its results, and for `--parts`. */
  readonly name: string;
  /** One line for `--help`. */
  readonly about: string;
  run(options: PartOptions): Promise<PartResult>;
}
