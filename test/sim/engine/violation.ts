/**
 * The first promise that was broken since the last `takeViolation`. Product code may catch what is
 * thrown inside of it, so that throwing alone would not be heard.
 */
let broken: Violation | undefined;

/** Something that coracle promises did not hold. Ends the run of a seed as failed. */
export class Violation extends Error {
  override readonly name = "Violation";
  /** The checker that found it. */
  readonly checker: string;

  constructor(checker: string, message: string) {
    super(message);
    this.checker = checker;
    this.note();
  }

  /** Makes it known, wherever it may be caught. */
  note(): void {
    broken ??= this;
  }
}

/** What was broken since it was asked last. */
export function takeViolation(): Violation | undefined {
  const violation = broken;
  broken = undefined;
  return violation;
}

/** The process was killed in the middle of a call: nothing after this point happened. */
export class SimulatedCrash extends Error {
  override readonly name = "SimulatedCrash";
}
