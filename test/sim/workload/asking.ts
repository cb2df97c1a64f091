import { CoracleError } from "../../../src/base/errors.ts";
import type { Random } from "../../../src/base/prng.ts";
import { between, pick } from "../engine/streams.ts";
import { Violation } from "../engine/violation.ts";
import type { Host } from "../members/host.ts";
import type { MemberProcess } from "../members/process.ts";
import type { World } from "../members/world.ts";

/** What became of a question: an answer, an error of the product, or nothing (its member ended, or took too long). */
export type Answer<T> =
  | { readonly type: "answer"; readonly value: T }
  | { readonly type: "error"; readonly code: string }
  | { readonly type: "lost" };

const patienceMs = 3500;

/** Any member that takes part; it may be stopped, which a client cannot know. */
export function anyMember(world: World, random: Random): MemberProcess | undefined {
  const hosts = world.hosts.filter((host) => host.process?.ready === true && !host.retired);
  return hosts.length === 0 ? undefined : (pick(random, hosts) as Host).process;
}

/**
 * Asks a member over a network that takes its time. `then` is called once, when the client hears.
 * An error that is none of the product's own breaks a promise.
 */
export function ask<T>(
  world: World,
  random: Random,
  process: MemberProcess,
  question: (process: MemberProcess) => Promise<T>,
  then: (answer: Answer<T>) => void,
): void {
  let over = false;
  const once = (answer: Answer<T>): void => {
    if (over) return;
    over = true;
    world.scheduler.afterMs(between(random, 0.1, 1), () => then(answer));
  };
  process.onEnd.push(() => once({ type: "lost" }));
  world.scheduler.afterMs(patienceMs, () => once({ type: "lost" }));
  world.scheduler.afterMs(between(random, 0.1, 1), () => {
    process.run(() => {
      if (!process.ready) return;
      question(process).then(
        (value) => once({ type: "answer", value }),
        (error: unknown) => {
          if (!process.alive) once({ type: "lost" });
          else if (error instanceof CoracleError) once({ type: "error", code: error.code });
          else new Violation("unexpected error", `a question failed with ${String(error)}`).note();
        },
      );
    });
  });
}
