/**
 * What `/version` and `Status` tell clients of etcd: the release whose behaviour is kept. Dotted integers
 * alone, for clients compute with them (and take the paths under `/v3` from 3.4 on).
 */
export const etcdVersion = { server: "3.4.23", cluster: "3.4.0" } as const;
