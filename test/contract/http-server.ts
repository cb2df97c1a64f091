// The client API over a fake service, on the runtime that runs this file. Commands come as lines on
// standard input, and each is answered by one line: see `http.test.ts`.
import process from "node:process";
import { createInterface } from "node:readline";
import { Registry } from "prom-client";
import { createApp } from "../../src/api/app.ts";
import { FakeService } from "../../src/api/fake-service.test-support.ts";
import { CoracleError } from "../../src/base/errors.ts";
import { serveHttp } from "../../src/runtime/http.ts";

const service = new FakeService();
const info = { version: "0.0.0", commit: "test", startedAtMs: 0 };
const app = createApp({ service, info, metrics: new Registry() });

function listen(port: number) {
  return serveHttp({
    host: "127.0.0.1",
    port,
    fetch: (request) => {
      if (request.headers.has("x-test-throw")) throw new Error("thrown on request");
      return app.fetch(request);
    },
    onError: (error) => say(`error ${error instanceof Error ? error.message : "?"}`),
  });
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

const server = await listen(0);
say(`port ${server.port}`);

service.onWaiting = () => say("waiting");
let openGate = (): void => {};
createInterface({ input: process.stdin }).on("line", async (line) => {
  const [command, argument] = line.split(" ");
  if (command === "close-gate") {
    service.gate = new Promise((resolve) => {
      openGate = resolve;
    });
    say("closed");
  } else if (command === "open-gate") {
    openGate();
    service.gate = undefined;
    say("open");
  } else if (command === "stop") {
    say("stopping");
    await server.stop(Number(argument));
    say("stopped");
  } else if (command === "listen-again") {
    await listen(server.port).then(
      () => say("listening"),
      (error) => say(error instanceof CoracleError ? `${error.code}: ${error.message}` : `other ${error}`),
    );
  } else if (command === "exit") process.exit(0);
});
