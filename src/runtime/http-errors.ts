import { CoracleError, messageOf } from "../base/errors.ts";

interface Address {
  readonly host: string;
  readonly port: number;
  /** Where another address can be chosen. */
  readonly flag?: string;
}

/** Why an address cannot be listened on, as a sentence for the operator. */
export function listenError(error: unknown, { host, port, flag = "--listen-client" }: Address): CoracleError {
  const code = typeof error === "object" && error !== null && "code" in error ? error.code : undefined;
  const sentence = (): string => {
    switch (code) {
      case "EADDRINUSE":
        return `Port ${port} on ${host} is in use by another process; choose another by ${flag}, or stop that process.`;
      case "EACCES":
        return `Listening on port ${port} of ${host} is not permitted; choose one above 1023 by ${flag}.`;
      case "EADDRNOTAVAIL":
        return `${host} is no address of this machine; choose one by ${flag}.`;
      default:
        return `Cannot listen on port ${port} of ${host} (${messageOf(error)}); choose another address by ${flag}.`;
    }
  };
  return new CoracleError("config_invalid", sentence());
}

/** What a client sees when the app itself threw. */
export function bareFailure(): Response {
  const body = { type: "/errors/internal", title: "Internal error", status: 500, code: "internal" };
  return new Response(`${JSON.stringify(body)}\n`, {
    status: 500,
    headers: { "content-type": "application/problem+json" },
  });
}

/** What a client is told who asks a server that is about to stop; nothing was done. */
export function stoppingFailure(): Response {
  const body = {
    type: "/errors/shutting_down",
    title: "The member is shutting down",
    status: 503,
    detail: "This member stops, nothing was proposed: send the request again, to another member.",
    code: "shutting_down",
  };
  return new Response(`${JSON.stringify(body)}\n`, {
    status: 503,
    headers: { "content-type": "application/problem+json", "retry-after": "1", connection: "close" },
  });
}
