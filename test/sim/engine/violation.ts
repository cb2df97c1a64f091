/** Something that coracle promises did not hold. Ends the run of a seed as failed. */
export class Violation extends Error {
  override readonly name = "Violation";
  /** The checker that found it. */
  readonly checker: string;

  constructor(checker: string, message: string) {
    super(message);
    this.checker = checker;
  }
}

/** The process was killed in the middle of a call: nothing after this point happened. */
export class SimulatedCrash extends Error {
  override readonly name = "SimulatedCrash";
}
