import { CoracleError, messageOf } from "../base/errors.ts";

interface Address {
  readonly host: string;
  readonly port: number;
}

/** Why an address cannot be listened on, as a sentence for the operator. */
export function listenError(error: unknown, { host, port }: Address): CoracleError {
  const text = messageOf(error);
  const code = typeof error === "object" && error !== null && "code" in error ? error.code : undefined;
  if (code === "EADDRINUSE" || /in use/i.test(text)) {
    return new CoracleError(
      "config_invalid",
      `Port ${port} on ${host} is in use by another process; choose another port by --listen-client, or stop that process.`,
    );
  }
  if (code === "EACCES" || /permission denied/i.test(text)) {
    return new CoracleError(
      "config_invalid",
      `Listening on port ${port} of ${host} is not permitted; choose one above 1023 by --listen-client.`,
    );
  }
  return new CoracleError(
    "config_invalid",
    `Cannot listen on ${host}, port ${port} (${text}); check --listen-client.`,
  );
}

/** What a client sees when the app itself threw. */
export function bareFailure(): Response {
  const body = { type: "/errors/internal", title: "Internal error", status: 500, code: "internal" };
  return new Response(`${JSON.stringify(body)}\n`, {
    status: 500,
    headers: { "content-type": "application/problem+json" },
  });
}
