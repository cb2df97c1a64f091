import { utf8 } from "../../base/bytes.ts";
import { systemClock } from "../../base/clock.ts";
import { serverStopped, streamError, told } from "./errors.ts";
import type { GatewayContext } from "./request.ts";

const jsonType = { "content-type": "application/json" };

/**
 * Answers with one JSON object a line, each in a chunk of its own: some clients take a chunk for a document.
 * As in etcd the head of the answer waits for the first of them, and has the status of an error that comes
 * in its place.
 */
export async function streamResponse<M>(
  messages: AsyncIterable<M>,
  line: (message: M) => string,
  context: GatewayContext,
  path: string,
): Promise<Response> {
  const iterator = messages[Symbol.asyncIterator]();
  const next = async (): Promise<{
    readonly text: string;
    readonly status: number;
    readonly last: boolean;
  }> => {
    try {
      const { done, value } = await iterator.next();
      if (done !== true) return { text: `${line(value)}\n`, status: 200, last: false };
      if (!context.stopping) return { text: "", status: 200, last: true };
      throw serverStopped();
    } catch (error) {
      const { line: text, status } = streamError(told(error, path, context));
      return { text, status, last: true };
    }
  };
  const end = async (): Promise<void> => {
    context.gone.abort();
    context.end();
    await iterator.return?.();
  };

  const head = await next();
  if (head.last) {
    await end();
    return new Response(head.text, { status: head.status, headers: jsonType });
  }
  let waiting: string | undefined = head.text;
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        if (waiting !== undefined) {
          controller.enqueue(utf8(waiting));
          waiting = undefined;
          return;
        }
        // What is given in one turn may leave in one chunk.
        await new Promise<void>((resolve) => systemClock.endOfTurn(resolve));
        const { text, last } = await next();
        if (context.gone.signal.aborted) return;
        if (text !== "") controller.enqueue(utf8(text));
        if (last) {
          controller.close();
          await end();
        }
      },
      cancel: end,
    },
    { highWaterMark: 0 },
  );
  return new Response(body, { headers: jsonType });
}
