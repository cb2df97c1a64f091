/** One question to a member by its address; `PeerNetwork.ask`. */
export type Ask = (
  address: string,
  name: string,
  body: unknown,
  options: { readonly timeoutMs: number },
) => Promise<unknown>;
