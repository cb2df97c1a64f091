import { Harness, type HarnessChange, type Packet } from "../../src/raft/harness.test-support.ts";
import type { HarnessMember } from "../../src/raft/harness-member.test-support.ts";
import { describeEntry, describeMember, describePacket } from "./describe.ts";

/**
 * Runs the commands of a scenario file. `README.md` beside lists them. Each command prints what it
 * did, and the members that changed by it.
 */
export class Scenario {
  #harness: Harness | undefined;
  #before = new Map<number, { line: string; texts: number; reads: number; refused: number }>();

  /** The output of one command line. Mistakes in the file are thrown. */
  run(line: string): string[] {
    const [command, ...words] = line.trim().split(/\s+/);
    const output = this.#command(command ?? "", words);
    if (command !== "status" && command !== "cluster") output.push(...this.#changes());
    return output;
  }

  get #cluster(): Harness {
    if (!this.#harness) throw new Error("a scenario begins with `cluster`");
    return this.#harness;
  }

  #command(command: string, words: string[]): string[] {
    switch (command) {
      case "cluster":
        return this.#start(words);
      case "preset":
        this.#member(words[0]).preset(words.slice(1).map(Number));
        return [];
      case "join":
        this.#cluster.join(Number(words[0]));
        return [];
      case "campaign":
        return this.#outcome(this.#member(words[0]).step({ type: "campaign" }));
      case "propose":
        return words.slice(1).flatMap((text) => this.#outcome(this.#cluster.propose(Number(words[0]), text)));
      case "change": {
        const change: HarnessChange = { op: words[1] as HarnessChange["op"], id: Number(words[2]) };
        return this.#outcome(this.#cluster.change(Number(words[0]), change));
      }
      case "transfer":
        return this.#outcome(this.#member(words[0]).step({ type: "transfer", to: Number(words[1]) }));
      case "read":
        this.#cluster.read(Number(words[0]));
        return [];
      case "announce":
        this.#member(words[0]).step({ type: "announce" });
        return [];
      case "connected":
      case "disconnected":
      case "unreachable":
        this.#member(words[0]).step({ type: command, member: Number(words[1]) });
        return [];
      default:
        return this.#passive(command, words);
    }
  }

  /** Commands that move time, packets and disks. */
  #passive(command: string, words: string[]): string[] {
    switch (command) {
      case "tick":
        return this.#tick(words);
      case "deliver":
        return this.#packets(words, "deliver");
      case "duplicate":
        return this.#packets(words, "duplicate");
      case "drop":
        return this.#packets(words, "drop");
      case "network":
        return this.#cluster.network.map(describePacket);
      case "settle":
        this.#cluster.settle(10_000, words.length > 0 ? words.map(Number) : undefined);
        return [];
      case "store":
        for (const member of this.#members(words[0])) member.store(words[1] ? Number(words[1]) : undefined);
        return [];
      case "crash":
        this.#member(words[0]).crash(Number(words[1] ?? 0));
        return [];
      case "restart":
        this.#member(words[0]).restart();
        return [];
      case "isolate":
        this.#cluster.isolate(...words.map(Number));
        return [];
      case "block":
        for (const link of words) this.#cluster.blocked.add(link);
        return [];
      case "heal":
        this.#cluster.heal();
        return [];
      case "cut":
        this.#member(words[0]).cut(words[1] ? Number(words[1]) : undefined);
        return [];
      case "status":
        return this.#members(words[0]).map(describeMember);
      case "log":
        return this.#members(words[0]).map((member) => this.#log(member));
      case "progress":
        return this.#member(words[0])
          .raft.status()
          .progress.map(
            ({ member, state, match, next, inFlight, active }) =>
              `${member}: ${state}, match ${match}, next ${next}, in flight ${inFlight}${active ? "" : ", silent"}`,
          );
      default:
        throw new Error(`unknown command: ${command}`);
    }
  }

  #start(words: string[]): string[] {
    const options = new Map(words.slice(1).map((word) => word.split("=") as [string, string]));
    const voters = Array.from({ length: Number(words[0]) }, (_, at) => at + 1);
    const learners = Array.from(
      { length: Number(options.get("learners") ?? 0) },
      (_, at) => voters.length + at + 1,
    );
    this.#harness = new Harness({
      voters,
      learners,
      electionTicks: Number(options.get("election") ?? 10),
      seed: Number(options.get("seed") ?? 1),
      holdNews: options.get("news") === "held",
      storeAtOnce: options.get("store") !== "manual",
      limits: options.has("window")
        ? { appendsInFlightMax: Number(options.get("window")), appendEntriesMax: 1 }
        : {},
    });
    this.#remember();
    return this.#members(undefined).map(describeMember);
  }

  #member(word: string | undefined): HarnessMember {
    return this.#cluster.member(Number(word));
  }

  #members(word: string | undefined): HarnessMember[] {
    return word === undefined || word === "all" ? this.#cluster.all : [this.#member(word)];
  }

  #outcome(result: ReturnType<HarnessMember["step"]>): string[] {
    return result.ok ? [] : [`refused: ${result.reason}`];
  }

  /** `tick [times] [member ...]` */
  #tick(words: string[]): string[] {
    const times = Number(words[0] ?? 1);
    const members = words.length > 1 ? words.slice(1).map((word) => this.#member(word)) : this.#cluster.up;
    for (let n = 0; n < times; n++) for (const member of members) member.step({ type: "tick" });
    return [];
  }

  /**
   * Without words all packets that wait now; else those that match one word each: `1>2`, `>2`,
   * `1>`, or a type. `n=2` takes only the first two of them, `n=-1` the last.
   */
  #packets(words: string[], action: "deliver" | "drop" | "duplicate"): string[] {
    const harness = this.#cluster;
    const count = Number(words.find((word) => word.startsWith("n="))?.slice(2) ?? Number.POSITIVE_INFINITY);
    const filters = words.filter((word) => !word.startsWith("n="));
    const picked = harness.network.filter((packet) => matches(packet, filters));
    const chosen = count < 0 ? picked.slice(count) : picked.slice(0, count);
    const output: string[] = [];
    for (const packet of chosen) {
      const at = harness.network.indexOf(packet);
      const lost = harness.blocked.has(`${packet.from}>${packet.to}`) || !harness.members.get(packet.to)?.up;
      output.push(describePacket(packet) + (action === "drop" || lost ? " (lost)" : ""));
      if (action === "drop") harness.dropAt(at);
      else harness.deliverAt(at, action === "duplicate");
    }
    return output.length > 0 ? output : ["no packet"];
  }

  #log(member: HarnessMember): string {
    const entries = [];
    for (let index = member.log.firstIndex(); index <= member.log.lastIndex(); index++) {
      entries.push(...member.log.entries(index, index + 1, 0));
    }
    return `${member.id}: ${entries.map(describeEntry).join(" ") || "empty"}`;
  }

  #remember(): void {
    for (const member of this.#cluster.all) {
      const { texts } = member.state;
      const { reads, refused } = member;
      this.#before.set(member.id, {
        line: describeMember(member),
        texts: texts.length,
        reads: reads.length,
        refused: refused.length,
      });
    }
  }

  #changes(): string[] {
    const output: string[] = [];
    for (const member of this.#cluster.all) {
      const before = this.#before.get(member.id) ?? { line: "", texts: 0, reads: 0, refused: 0 };
      const line = describeMember(member);
      if (line !== before.line) output.push(line);
      const texts = member.state.texts.slice(before.texts);
      if (texts.length > 0) output.push(`  ${member.id} applies ${texts.join(" ")}`);
      for (const read of member.reads.slice(before.reads)) {
        output.push(`  ${member.id} answers read ${read.context} at ${read.index}`);
      }
      for (const context of member.refused.slice(before.refused))
        output.push(`  ${member.id} refuses read ${context}`);
    }
    this.#remember();
    return output;
  }
}

function matches(packet: Packet, filters: readonly string[]): boolean {
  const pre = (packet.type === "vote" || packet.type === "vote-response") && packet.pre;
  const name = pre ? `pre-${packet.type}` : packet.type;
  return filters.every((filter) => {
    const link = /^(\d*)>(\d*)$/.exec(filter);
    if (!link) return name === filter || name === `${filter}-transfer`;
    const [, from, to] = link;
    return (!from || packet.from === Number(from)) && (!to || packet.to === Number(to));
  });
}
