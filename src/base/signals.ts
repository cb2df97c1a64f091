/** Several signals as one, until `end` lets go of them. */
export interface JoinedSignal {
  readonly signal: AbortSignal;
  end(): void;
}

/**
 * Aborts when one of these does. Whoever joins a signal that lives long must call `end`: what
 * `AbortSignal.any` makes stays with such a signal for its whole life.
 *
 * @param reasonOf why the joined one aborts; the source's own reason unless given.
 */
export function joinedSignal(
  sources: readonly AbortSignal[],
  reasonOf: (source: AbortSignal) => unknown = (source) => source.reason,
): JoinedSignal {
  const joined = new AbortController();
  const undo: (() => void)[] = [];
  const end = (): void => {
    for (const remove of undo.splice(0)) remove();
  };
  for (const source of sources) {
    const forward = (): void => {
      end();
      joined.abort(reasonOf(source));
    };
    if (source.aborted) {
      forward();
      break;
    }
    source.addEventListener("abort", forward, { once: true });
    undo.push(() => source.removeEventListener("abort", forward));
  }
  return { signal: joined.signal, end };
}
