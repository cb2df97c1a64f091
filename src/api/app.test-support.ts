import { Decoder } from "cbor-x/index-no-eval";
import type { Hono } from "hono";
import { Registry } from "prom-client";
import { createApp } from "./app.ts";
import { FakeService } from "./fake-service.test-support.ts";

const decoder = new Decoder({ useRecords: false, mapsAsObjects: true });

/** For tests: an app over a fake service. */
export interface TestApp {
  readonly app: Hono;
  readonly service: FakeService;
  /** Sends a request and reads the answer whole. */
  send(
    method: string,
    path: string,
    init?: { body?: BodyInit; headers?: Record<string, string> },
  ): Promise<Answer>;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly bytes: Uint8Array;
  readonly text: string;
  /** The body, by its Content-Type. */
  // biome-ignore lint/suspicious/noExplicitAny: tests read fields of documents and assert on them.
  readonly document: any;
}

export function testApp(
  options: {
    readonly hostNames?: readonly string[];
    readonly valueBytesMax?: number;
    readonly stopping?: AbortSignal;
  } = {},
): TestApp {
  const service = new FakeService();
  const info = { version: "1.2.3", commit: "abc", startedAtMs: 0 };
  const { hostNames, valueBytesMax, stopping } = options;
  const app = createApp({
    service,
    info,
    metrics: new Registry(),
    ...(hostNames !== undefined && { hostNames }),
    ...(stopping !== undefined && { stopping }),
    ...(valueBytesMax !== undefined && { limits: { valueBytesMax } }),
  });
  return {
    app,
    service,
    async send(method, path, init = {}) {
      return readAnswer(await app.request(path, { method, ...init }));
    },
  };
}

export async function readAnswer(response: Response): Promise<Answer> {
  const bytes = new Uint8Array(await response.arrayBuffer());
  const text = new TextDecoder().decode(bytes);
  const type = response.headers.get("content-type") ?? "";
  let document: unknown;
  if (type.includes("json") && text !== "") document = JSON.parse(text);
  if (type.includes("cbor")) document = decoder.decode(bytes);
  return { status: response.status, headers: response.headers, bytes, text, document };
}

export const asJson = { "content-type": "application/json" };
export const asCbor = { "content-type": "application/cbor", accept: "application/cbor" };
