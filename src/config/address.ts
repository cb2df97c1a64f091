/** Whether a host can only be reached from this machine: `localhost`, 127.0.0.0/8 (RFC 1122) or `::1`. */
export function isLoopbackHost(host: string): boolean {
  const bare = host.replace(/^\[|\]$/g, "").toLowerCase();
  return bare === "localhost" || bare === "::1" || /^127(\.\d{1,3}){3}$/.test(bare);
}

/** Whether a host means "every address of this machine" and so names none that others could call. */
export function isWildcardHost(host: string): boolean {
  return host === "0.0.0.0" || /^[0:]+$/.test(host);
}
