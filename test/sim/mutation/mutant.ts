/** A planted bug: text of the product that is replaced when a module is loaded, in tests only. */
export interface Mutant {
  readonly name: string;
  readonly about: string;
  readonly edits: readonly Edit[];
}

export interface Edit {
  /** Below the root of the repository. */
  readonly file: string;
  /** Stands in the file exactly once. */
  readonly find: string;
  readonly replace: string;
}
