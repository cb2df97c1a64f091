import { StateMachine } from "../../../src/kv/state-machine.ts";
import type { Membership } from "../../../src/kv/types.ts";
import { SqliteFile } from "../disk/sim-sqlite.ts";

/** Makes the state of new members. Those that begin a cluster together begin with the same one, made once. */
export class FirstImages {
  #last: { readonly membership: Membership; readonly image: Uint8Array } | undefined;

  of(membership: Membership, index: number, term: number): Uint8Array {
    if (this.#last?.membership === membership) return this.#last.image;
    const file = new SqliteFile();
    StateMachine.create(file.open({ committed: () => {}, full: () => false }), { membership, index, term });
    const image = file.image();
    file.discard();
    this.#last = { membership, image };
    return image;
  }
}
