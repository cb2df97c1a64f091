/** Collects what a script checked, one line each, and ends the script with the line that tools look for. */
export class Report {
  #passed = 0;
  #failed = 0;
  readonly #onFailure: (() => void)[] = [];

  /** What to print when the script ends with a failed check, for instance the members' logs. */
  onFailure(show: () => void): void {
    this.#onFailure.push(show);
  }

  /** Prints and counts one check. Gives `ok` back. */
  check(ok: boolean, what: string, detail = ""): boolean {
    if (ok) this.#passed++;
    else this.#failed++;
    console.log(`${ok ? "ok  " : "FAIL"} ${what}${detail === "" ? "" : `: ${detail}`}`);
    return ok;
  }

  equal(actual: unknown, expected: unknown, what: string): boolean {
    const same = JSON.stringify(actual) === JSON.stringify(expected);
    return this.check(
      same,
      what,
      same ? "" : `expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`,
    );
  }

  /** Runs a part of a script; what it throws is a failed check, and the parts behind it still run. */
  async part(what: string, run: () => Promise<void>): Promise<void> {
    try {
      await run();
    } catch (error) {
      this.check(false, what, error instanceof Error ? error.message : String(error));
    }
  }

  note(text: string): void {
    console.log(`     ${text}`);
  }

  get failed(): number {
    return this.#failed;
  }

  /** The closing line and the exit code: fails when a check failed or none was made. */
  finish(): never {
    if (this.#failed > 0) for (const show of this.#onFailure) show();
    console.log(`${this.#passed} passed, ${this.#failed} failed`);
    process.exit(this.#failed === 0 && this.#passed > 0 ? 0 : 1);
  }
}

/** Runs a script's checks to their closing line, whatever is thrown. */
export async function runScript(run: (report: Report) => Promise<void>): Promise<never> {
  const report = new Report();
  await report.part("the script ran to its end", () => run(report));
  return report.finish();
}
