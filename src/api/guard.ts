import { CoracleError } from "../base/errors.ts";
import { quoted } from "./errors.ts";

/** Host headers seen before, and whether they were fine. */
const judgedMax = 256;

/** Refuses a request that a web page made behind its user's back. */
export type Guard = (request: Request) => void;

/**
 * A guard against DNS rebinding: a page from `evil.example`, whose name suddenly resolves to this
 * member, is of the same origin for a browser. So a name in the Host header must be one of this
 * member's; addresses and `localhost` cannot be rebound and always are.
 *
 * @param hostNames names without port. `undefined`: every name is fine.
 */
export function hostGuard(hostNames: readonly string[] | undefined): Guard {
  if (hostNames === undefined) return () => {};
  const names = new Set(hostNames.map((name) => name.toLowerCase()));
  const judged = new Map<string, boolean>();
  return (request) => {
    const host = request.headers.get("host");
    if (host === null) return;
    let fine = judged.get(host);
    if (fine === undefined) {
      fine = plausible(host, names);
      if (judged.size >= judgedMax) judged.clear();
      judged.set(host, fine);
    }
    if (fine) return;
    throw new CoracleError(
      "forbidden",
      `The Host header ${quoted(host)} is no name of this member; address it by IP address, or start it with --client-host-names and that name.`,
    );
  };
}

function plausible(host: string, names: ReadonlySet<string>): boolean {
  const name = host.toLowerCase().replace(/:\d+$/, "").replace(/\.$/, "");
  if (/^\[[0-9a-f:.]+\]$/.test(name) || /^\d{1,3}(\.\d{1,3}){3}$/.test(name)) return true;
  return name === "localhost" || name.endsWith(".localhost") || names.has(name);
}

/**
 * A guard against cross-site POST: browsers send a POST without asking first, and a leader transfer
 * needs no body. Programs send neither header. (PUT and DELETE are asked for by a preflight, which
 * gets no permission.)
 */
export function crossSiteGuard(request: Request): void {
  const site = request.headers.get("sec-fetch-site");
  const origin = request.headers.get("origin");
  if (site !== null && site !== "same-origin" && site !== "none") {
    throw new CoracleError("forbidden", "A page of another site may not send this request.");
  }
  if (origin === null || request.headers.get("host") === null) return;
  if (origin.slice(origin.indexOf("://") + 3) !== request.headers.get("host")) {
    throw new CoracleError("forbidden", `A page of ${quoted(origin)} may not send this request.`);
  }
}
