/** What the cluster knows of one of its members, replicated through the log. */
export interface MemberRecord {
  /** Random, in [1, 2^53); never used again after the member was removed. */
  readonly id: number;
  /** Unique among the members; chosen by the operator. */
  readonly name: string;
  /** `host:port` of the peer protocol. */
  readonly peerAddress: string;
  /** Where clients reach it, `http://host:port`. */
  readonly clientUrls: readonly string[];
  /** Where etcd's gRPC clients reach it; empty when it serves no gRPC. */
  readonly grpcUrls: readonly string[];
  /** A learner receives the log and serves stale reads, but does not vote. */
  readonly learner: boolean;
}

/** One step of membership. Only one is ever under way (thesis §4.1). */
export type MemberChange =
  | { readonly op: "add-learner"; readonly member: MemberRecord }
  | { readonly op: "promote"; readonly id: number }
  | { readonly op: "remove"; readonly id: number }
  /** New addresses or name; changes no vote. */
  | { readonly op: "update"; readonly member: MemberRecord };
