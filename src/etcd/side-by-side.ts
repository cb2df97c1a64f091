/**
 * Works on the items of a stream side by side, at most `underWayMax` at once, and gives the answers in
 * the order of the items. An item that fails ends the stream, after the answers to those before it.
 */
export async function* sideBySide<Item, Answer>(
  items: AsyncIterable<Item>,
  underWayMax: number,
  work: (item: Item) => Promise<Answer>,
): AsyncGenerator<Answer, void> {
  const iterator = items[Symbol.asyncIterator]();
  const underWay: Promise<Answer>[] = [];
  let next: Promise<"item"> | undefined;
  let taken: IteratorResult<Item> | undefined;
  try {
    while (taken?.done !== true || underWay.length > 0) {
      if (taken?.done !== true && underWay.length < underWayMax) {
        next ??= iterator.next().then((result) => {
          taken = result;
          return "item";
        });
      }
      const oldest = underWay[0];
      const answered = oldest?.then(() => "answer" as const);
      const first = await Promise.race([next, answered].filter((one) => one !== undefined));
      if (first === "item") {
        next = undefined;
        if (taken === undefined || taken.done === true) continue;
        const answer = work(taken.value);
        // Looked at when its turn comes.
        answer.catch(() => {});
        underWay.push(answer);
      } else if (oldest !== undefined) {
        underWay.shift();
        yield await oldest;
      }
    }
  } finally {
    // Behind an item that is still waited for, it would wait too.
    const closed = taken?.done === true ? undefined : iterator.return?.();
    if (next === undefined) await closed;
    else closed?.catch(() => {});
  }
}
