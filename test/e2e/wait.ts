/** Resolves after so many milliseconds. For pacing only; what a test waits for is a condition. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/**
 * Asks until the answer is neither `undefined` nor `false`, and gives it.
 *
 * @throws Error naming `what` when that takes longer than `timeoutMs`; an error thrown by the last
 * attempt is named as well.
 */
export async function until<T>(
  what: string,
  attempt: () => Promise<T | undefined | false> | T | undefined | false,
  options: { readonly timeoutMs?: number; readonly everyMs?: number } = {},
): Promise<T> {
  const timeoutMs = options.timeoutMs ?? 20_000;
  const deadline = performance.now() + timeoutMs;
  let reason = "";
  while (true) {
    try {
      const answer = await attempt();
      if (answer !== undefined && answer !== false) return answer;
      reason = "";
    } catch (error) {
      reason = ` (${error instanceof Error ? error.message : String(error)})`;
    }
    if (performance.now() >= deadline) throw new Error(`not within ${timeoutMs} ms: ${what}${reason}`);
    await pause(options.everyMs ?? 20);
  }
}
