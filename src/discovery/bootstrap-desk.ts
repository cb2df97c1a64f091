import { CoracleError } from "../base/errors.ts";
import {
  type BootstrapPlan,
  commitRequestSchema,
  type JoinRequest,
  type PlanResponse,
  type ProbeResponse,
  parseBody,
  planRequestSchema,
} from "../wire/requests.ts";
import type { BootstrapStore } from "./bootstrap-file.ts";

/** Names of the control requests that a `BootstrapDesk` answers. */
export const bootstrapRequests = ["probe", "plan", "commit"] as const;

export interface BootstrapDeskOptions {
  readonly self: JoinRequest;
  /** Of this process; `PeerNetwork.instance`. */
  readonly instance: string;
  readonly store: BootstrapStore;
  /** `bootstrap`: takes part in one. `joining`: wants into a cluster that exists. A number: is in that cluster. */
  readonly standing: "bootstrap" | "joining" | { readonly clusterId: number };
}

/**
 * What this member tells others about itself while clusters are begun, and the plan that it
 * accepted. Every member has one for as long as it runs. Nothing in here suspends: a promise that
 * was given cannot be overtaken by another.
 */
export class BootstrapDesk {
  readonly self: JoinRequest;
  readonly instance: string;
  readonly #store: BootstrapStore;
  #standing: BootstrapDeskOptions["standing"];
  #plan: BootstrapPlan | undefined;
  #committed = false;
  #view: readonly string[] = [];

  constructor(options: BootstrapDeskOptions) {
    this.self = options.self;
    this.instance = options.instance;
    this.#store = options.store;
    this.#standing = options.standing;
    if (typeof options.standing === "object") {
      this.#store.clear();
      return;
    }
    const record = options.store.load();
    this.#plan = record?.plan;
    this.#committed = record?.committed ?? false;
  }

  get plan(): BootstrapPlan | undefined {
    return this.#plan;
  }

  /** Whether the plan accepted here is known to be accepted by all. */
  get committed(): boolean {
    return this.#committed;
  }

  get view(): readonly string[] {
    return this.#view;
  }

  /** Names of all expected members once each has answered this one, else empty. */
  setView(names: readonly string[]): void {
    this.#view = names;
  }

  /** This member is now in a cluster for good: its identity is durable elsewhere. */
  initialised(clusterId: number): void {
    this.#standing = { clusterId };
    this.#store.clear();
  }

  /** From now on this member wants to join a cluster that exists. */
  joining(): void {
    this.#standing = "joining";
  }

  /** Answers a control request. Throws `CoracleError`. */
  handle(name: string, body: unknown): unknown {
    switch (name) {
      case "probe":
        return this.#answerProbe();
      case "plan":
        return this.accept(parseBody(planRequestSchema, body, "bootstrap plan").plan);
      case "commit":
        return { started: this.commit(parseBody(commitRequestSchema, body, "commit").clusterId) };
      default:
        throw new CoracleError("invalid_argument", `"${name}" is no request of a bootstrap.`);
    }
  }

  /** Accepts a plan durably, or says why not. A member accepts one plan ever. */
  accept(plan: BootstrapPlan): PlanResponse {
    const known = typeof this.#standing === "object" ? this.#standing.clusterId : this.#plan?.clusterId;
    if (known !== undefined) {
      const accepted = known === plan.clusterId;
      return { accepted, reason: accepted ? "" : `${this.self.name} has accepted cluster ${known} before` };
    }
    const reason = this.#objection(plan);
    if (reason !== undefined) return { accepted: false, reason };
    this.#store.save({ plan, committed: false });
    this.#plan = plan;
    return { accepted: true, reason: "" };
  }

  /** Notes that all have accepted the plan of this cluster. False when this member has not. */
  commit(clusterId: number): boolean {
    if (typeof this.#standing === "object") return this.#standing.clusterId === clusterId;
    if (this.#plan?.clusterId !== clusterId) return false;
    if (!this.#committed) this.#store.save({ plan: this.#plan, committed: true });
    this.#committed = true;
    return true;
  }

  /** Gives up a plan under which this member never started: it asks to join another cluster. */
  forgetPlan(): void {
    this.#store.clear();
    this.#plan = undefined;
    this.#committed = false;
  }

  #objection(plan: BootstrapPlan): string | undefined {
    const { name, peerAddress } = this.self;
    if (this.#standing !== "bootstrap") return `${name} is to join a cluster, not to begin one`;
    const own = plan.members.find((member) => member.name === name);
    if (own?.peerAddress !== peerAddress) return `the plan does not have ${name} at ${peerAddress}`;
    const names = plan.members.map((member) => member.name).sort();
    if (names.join() !== this.#view.join()) {
      const view =
        this.#view.length === 0 ? "has not reached all members yet" : `expects ${this.#view.join(", ")}`;
      return `${name} ${view}, the plan has ${names.join(", ")}`;
    }
    return undefined;
  }

  #answerProbe(): ProbeResponse {
    const inCluster = typeof this.#standing === "object" ? this.#standing.clusterId : undefined;
    const committed = this.#committed ? this.#plan?.clusterId : undefined;
    const clusterId = inCluster ?? this.#plan?.clusterId ?? 0;
    const answer = { instance: this.instance, ...this.self, clusterId, view: [...this.#view] };
    if (inCluster !== undefined || committed !== undefined) return { ...answer, state: "initialised" };
    if (this.#plan !== undefined) return { ...answer, state: "planned", plan: this.#plan };
    return { ...answer, state: this.#standing === "joining" ? "joining" : "empty" };
  }
}
