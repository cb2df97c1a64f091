import { prefixEnd, utf8 } from "../../../src/base/bytes.ts";
import { CoracleError } from "../../../src/base/errors.ts";
import type { Random } from "../../../src/base/prng.ts";
import type { KeyRange } from "../../../src/kv/types.ts";
import type { Watch, WatchRequest } from "../../../src/service/service.ts";
import { WatchPromises } from "../checkers/watch-promises.ts";
import { between, chance, pick } from "../engine/streams.ts";
import { Violation } from "../engine/violation.ts";
import type { Host } from "../members/host.ts";
import type { MemberProcess } from "../members/process.ts";
import type { World } from "../members/world.ts";

const passing = new Set(["shutting_down", "not_proposed", "overloaded"]);

/** Who wants to hear of everything in a range, through whichever member: a chain of watches. */
export class Subscriber {
  readonly #world: World;
  readonly #random: Random;
  readonly #request: Omit<WatchRequest, "startRevision">;
  readonly #promises: WatchPromises;
  /** Each of them is new: what an older one still says is not listened to. */
  #watch: { readonly watch: Watch; readonly process: MemberProcess } | undefined;
  #opened = 0;
  #steady = false;

  constructor(world: World, number: number, random: Random) {
    this.#world = world;
    this.#random = random;
    this.#request = {
      ...rangeOf(random),
      previous: chance(random, 0.4),
      withoutPuts: chance(random, 0.1),
      withoutDeletes: chance(random, 0.1),
    };
    this.#promises = new WatchPromises(world.checks.committed.model, `subscriber ${number}`, this.#request);
    this.#later(between(random, 0, 3000));
  }

  /** Changes its member no more. */
  settle(): void {
    this.#steady = true;
  }

  /** Whether it was told of everything that there is. */
  get upToDate(): boolean {
    if (this.#watch === undefined || !this.#watch.process.alive) return false;
    const { deliveredRevision } = this.#watch.watch;
    this.#promises.bookmark(deliveredRevision);
    return deliveredRevision === this.#world.checks.committed.model.revision;
  }

  #later(delayMs = between(this.#random, 5, 200)): void {
    this.#world.scheduler.afterMs(delayMs, () => this.#open());
  }

  #open(): void {
    const hosts = this.#world.hosts.filter((host) => host.active && !host.retired);
    const process = hosts.length === 0 ? undefined : (pick(this.#random, hosts) as Host).process;
    if (process === undefined) {
      this.#later();
      return;
    }
    const number = ++this.#opened;
    const current = (): boolean => this.#opened === number;
    process.onEnd.push(() => {
      if (current()) this.#lost("its member ended");
    });
    process.run(() => this.#openAt(process, current));
    this.#world.scheduler.afterMs(between(this.#random, 200, 6000), () => {
      if (current() && !this.#steady) process.run(() => current() && this.#leave());
    });
  }

  #openAt(process: MemberProcess, current: () => boolean): void {
    const { revision, compactRevision } = process.node.state;
    if (this.#promises.next === undefined && chance(this.#random, 0.4)) {
      this.#promises.next = Math.max(1, compactRevision, revision - this.#random.below(30));
    }
    const startRevision = this.#promises.next ?? 0;
    try {
      const watch = process.watches.open(
        { ...this.#request, startRevision },
        {
          receive: (batch) => !current() || this.#receive(batch, process, current),
          ended: (error) => {
            if (current()) this.#ended(error);
          },
        },
      );
      this.#promises.opened(watch.openedRevision);
      if (startRevision === 0) this.#promises.openedAt(watch.openedRevision, revision);
      this.#watch = { watch, process };
      this.#cover(startRevision, revision);
    } catch (error) {
      this.#ended(error);
    }
  }

  #cover(startRevision: number, revision: number): void {
    const { coverage } = this.#world;
    coverage.add("watch: opened");
    if (startRevision > revision + 1) coverage.add("watch: opened at a member that is behind");
    else if (startRevision > 0 && startRevision <= revision) coverage.add("watch: opened in the past");
  }

  #receive(
    batch: Parameters<WatchPromises["received"]>[0],
    process: MemberProcess,
    current: () => boolean,
  ): boolean {
    this.#promises.received(batch);
    this.#world.coverage.add("watch: events told", batch.events.length);
    if (!chance(this.#random, 0.06)) return true;
    this.#world.coverage.add("watch: paused");
    this.#world.scheduler.afterMs(between(this.#random, 1, 1500), () => {
      process.run(() => current() && this.#watch?.watch.resume());
    });
    return false;
  }

  /** Goes on at another member, from its bookmark. */
  #leave(): void {
    const { watch } = this.#watch ?? {};
    if (watch === undefined) return;
    this.#promises.bookmark(watch.deliveredRevision);
    watch.cancel();
    this.#world.coverage.add("watch: resumed elsewhere");
    this.#lost("it left");
  }

  #ended(error: unknown): void {
    const code = error instanceof CoracleError ? error.code : "internal";
    if (code === "revision_compacted") {
      this.#world.coverage.add("watch: what it needs is compacted");
      this.#promises.compacted(Number((error as CoracleError).details?.compact_revision));
    } else if (!passing.has(code)) {
      throw new Violation("watch", `a watch ended with ${String(error)}`);
    }
    this.#lost(code);
  }

  #lost(why: string): void {
    this.#opened++;
    this.#watch = undefined;
    this.#world.trace.note("watch-lost", 0, 0, 0, () => why);
    this.#later();
  }
}

function rangeOf(random: Random): KeyRange {
  const prefix = pick(random, ["g/", "lease/", "lock/", ""]);
  if (prefix === "" && chance(random, 0.5)) return { key: utf8(pick(random, ["a", "b", "c", "d"])) };
  if (prefix === "") return { key: new Uint8Array([0]), end: null };
  return { key: utf8(prefix), end: prefixEnd(utf8(prefix)) };
}
