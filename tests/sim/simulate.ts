import { fromHex, hex } from "#lib/bytes";
import { Fault } from "#lib/fault";
import type { MuxStream } from "#lib/link";
import { type Bug, bugTap } from "./bugs.ts";
import { Flow, nameOf } from "./flow.ts";
import { Lanes } from "./lanes.ts";
import { SimNexus } from "./sim-nexus.ts";
import { SimNode } from "./sim-node.ts";
import { SimProcess, type Tell } from "./sim-process.ts";
import { SimTime } from "./sim-time.ts";
import { SimConnection, type SimWire } from "./sim-wire.ts";
import type { SimWorld } from "./sim-world.ts";

/** Faults fall in this time: less than a stream waits for another channel, so that none may be given up. */
const faultsMs = 40_000;
/** What is left then has this long to come through. */
const calmMs = 150_000;
const lookMs = 2_000;
const flowsMax = 8;
/** So long a node may take a path that is dead, or a channel to the other's former life, for a live one. */
const noticedMs = 20_000;

/** Ends of links that a bad path explains; any other is a fault of ours. */
const honestEnds = new Set(["wire_lost", "timeout", "closed", "displaced", "conflict", "offline"]);
/** Those that a relay which alters records explains. */
const alteredEnds = new Set(["record_order", "crypto", "malformed"]);

export interface SimOptions {
  readonly world: SimWorld;
  readonly seed: number;
  /** Switched on in one of the nodes: the run must find it. */
  readonly bug?: Bug;
  readonly log?: (line: string) => void;
}

export interface SimReport {
  readonly seed: number;
  readonly problems: readonly string[];
  readonly events: number;
  readonly digest: number;
  /** What happened in it. */
  readonly counts: Readonly<Record<string, number>>;
}

/** One run: two nodes and a Nexus on one clock, connections between the nodes, lanes to the cloud, and faults. */
export async function simulate(options: SimOptions): Promise<SimReport> {
  const run = new Simulation(options);
  try {
    await run.play();
  } catch (error) {
    run.problem(error instanceof Error ? `${error.message}` : String(error));
  }
  return run.report();
}

class Simulation {
  readonly #time: SimTime;
  readonly #options: SimOptions;
  readonly #problems: string[] = [];
  readonly #seen = new Set<string>();
  readonly #flows = new Map<string, Flow>();
  readonly #counts: Record<string, number> = {};
  readonly #hostile: boolean;
  /** Whether nodes are killed: what they had open ends then. */
  readonly #killing: boolean;
  #killedMs = Number.NEGATIVE_INFINITY;
  readonly #lanes: Lanes;
  readonly #connections = new Map<number, SimConnection>();
  #nexus: SimNexus | undefined;
  #nodes: [SimNode | undefined, SimNode | undefined] = [undefined, undefined];
  #faults = true;
  /** Connections that wait for a channel. */
  #opening = 0;
  #events = 0;

  constructor(options: SimOptions) {
    this.#options = options;
    this.#time = new SimTime(options.seed);
    this.#hostile = this.#time.random.integer(0, 2) === 0;
    this.#killing = this.#time.random.integer(0, 2) === 0;
    this.#lanes = new Lanes(this.#time, options.bug);
  }

  /** Notes each once, when it is first seen. */
  problem(text: string): void {
    if (this.#seen.has(text)) return;
    this.#seen.add(text);
    this.#problems.push(`${Math.round(this.#time.monotonic())} ms: ${text}`);
  }

  report(): SimReport {
    const { events, digest } = this.#time;
    return { seed: this.#options.seed, problems: [...this.#problems], events, digest, counts: this.#counts };
  }

  async play(): Promise<void> {
    const { random } = this.#time;
    this.#startNexus();
    await this.#time.until(Promise.all([this.#startNode(0), this.#startNode(1)]));
    for (let count = random.integer(3, flowsMax); count > 0; count--)
      this.#time.after(random.integer(0, faultsMs), () => void this.#open());
    for (let count = random.integer(1, 10); count > 0; count--)
      this.#time.after(random.integer(0, faultsMs), () => this.#fault());
    await this.#time.run(faultsMs, () => this.#look());
    this.#faults = false;
    for (const flow of this.#flows.values()) flow.goOn();
    await this.#time.run(faultsMs + noticedMs, () => this.#look());
    for (let untilMs = faultsMs + noticedMs; untilMs < faultsMs + calmMs && !this.#quiet; untilMs += lookMs)
      await this.#time.run(untilMs + lookMs, () => this.#look());
    await this.#judge();
  }

  /** After the faults: whatever is open has come through, what was ended is over at both ends, and the next connection works. */
  async #judge(): Promise<void> {
    for (const flow of this.#flows.values())
      for (const problem of flow.problems) this.problem(`${flow.describe()}: ${problem}`);
    for (const text of this.#lanes.judge()) this.problem(text);
    const last = await this.#time.until(Promise.all([this.#openFrom(0), this.#openFrom(1)]), 120_000);
    const byMs = this.#time.monotonic() + 60_000;
    while (this.#time.monotonic() < byMs && !last.every((flow) => flow?.whole && !flow.busy))
      await this.#time.run(this.#time.monotonic() + 1_000, () => this.#look());
    for (const flow of last) {
      if (!flow?.whole) this.problem(`a new connection does not work: ${flow?.describe()}`);
    }
    await this.#time.run(this.#time.monotonic() + lookMs, () => this.#look()); // the last acknowledgements
    for (const [index, other] of [
      [0, 1],
      [1, 0],
    ] as const) {
      const [node, far] = [this.#nodes[index], this.#nodes[other]];
      const left = far === undefined ? 0 : node?.peers.to(far.identifier).streams;
      if (left !== 0) this.problem(`node ${index} still holds ${left} streams`);
    }
  }

  /** Whether nothing is under way any more. */
  get #quiet(): boolean {
    return this.#opening === 0 && this.#lanes.judge().length === 0 && this.#flows.values().every(({ busy }) => !busy);
  }

  #look(): void {
    if (this.#events++ % 16 !== 0) return;
    for (const flow of this.#flows.values()) {
      const wrong = flow.check();
      if (wrong !== undefined) this.problem(wrong);
    }
    const wrong = this.#lanes.check();
    if (wrong !== undefined) this.problem(wrong);
  }

  #count(what: string): void {
    this.#counts[what] = (this.#counts[what] ?? 0) + 1;
  }

  readonly #tell: Tell = (level, who, message, fields) => {
    this.#options.log?.(`${this.#time.monotonic().toFixed(1)} ${who}: ${message} ${JSON.stringify(fields)}`);
    if (level === "error") this.problem(`${who}: ${message} ${JSON.stringify(fields)}`);
    if (message !== "link ended") return;
    const code = String(fields.code);
    this.#count(`link ended: ${code}`);
    if (honestEnds.has(code) || (this.#hostile && alteredEnds.has(code))) return;
    this.problem(`${who}: a link ended with ${code}: ${fields.reason}`);
  };

  #startNexus(): void {
    const process = new SimProcess(this.#time, "nexus", this.#tell);
    this.#nexus = new SimNexus({
      world: this.#options.world,
      process,
      lanes: (session) => this.#lanes.nexus(session, process),
      alter: (message) => (this.#hostile ? this.#alter(message) : [message]),
    });
  }

  async #startNode(index: 0 | 1): Promise<void> {
    const { world, bug } = this.#options;
    const process = new SimProcess(this.#time, `node ${index}`, this.#tell, index === 0 ? bugTap(bug) : undefined);
    this.#nodes[index] = await SimNode.start({
      world,
      persona: world.nodes[index],
      process,
      dial: () => this.#dial(index, process),
      taken: (stream) => this.#taken(stream, process),
      session: (link) => index === 0 && this.#lanes.node(link, process),
    });
  }

  #dial(index: 0 | 1, process: SimProcess): SimWire | undefined {
    const nexus = this.#nexus;
    if (nexus === undefined) return undefined;
    const { random } = this.#time;
    const path = {
      latencyMs: random.pick([0, 1, 10, 60]),
      jitterMs: random.pick([0, 2, 20]),
      bytesPerMs: random.pick([100_000, 10_000, 2_000, 500]),
    };
    const connection = new SimConnection(this.#time, path, process, nexus.process);
    this.#connections.set(index, connection);
    nexus
      .accept(connection.b, this.#options.world.nodes[index].own.identity.identifier)
      .catch((error) => (error instanceof Fault ? undefined : this.problem(`accepting: ${error}`)));
    return connection.a;
  }

  /** What a relay that can't read may still do to a record of two nodes. */
  #alter(message: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>[] {
    const { random } = this.#time;
    if (!this.#faults || random.integer(0, 150) !== 0) return [message];
    const how = random.pick(["drop", "repeat", "flip", "cut", "hold"]);
    this.#count(`record: ${how}`);
    switch (how) {
      case "drop":
        return [];
      case "repeat":
        return [message, message.slice()];
      case "cut":
        return [message.slice(0, random.integer(6, message.length))];
      default: {
        const at = random.integer(5, message.length - 1);
        message[at] = (message[at] ?? 0) ^ (1 << random.integer(0, 7));
        return [message];
      }
    }
  }

  #taken(stream: MuxStream, process: SimProcess): void {
    const flow = this.#flows.get(nameOf(stream));
    if (flow === undefined) this.problem("a stream that nobody opened");
    else flow.take(stream, process);
  }

  async #open(): Promise<void> {
    this.#opening++;
    const flow = await this.#openFrom(this.#time.random.pick([0, 1]));
    this.#opening--;
    const { random } = this.#time;
    if (flow === undefined || random.integer(0, 5) !== 0) return;
    this.#time.after(random.integer(0, 5_000), () => {
      this.#count("reset");
      flow.reset();
    });
  }

  /** Opens a connection from a node, as soon as there is a channel. */
  async #openFrom(index: 0 | 1): Promise<Flow | undefined> {
    const { random } = this.#time;
    for (let tries = 0; tries < 200; tries++) {
      const [node, other] = index === 0 ? this.#nodes : [this.#nodes[1], this.#nodes[0]];
      if (node !== undefined && other !== undefined) {
        const opened = Promise.race([
          node.peers
            .to(other.identifier)
            .link()
            .catch(() => undefined),
          new Promise<undefined>((resolve) => this.#time.after(15_000, () => resolve(undefined))),
        ]);
        const link = await opened;
        if (link !== undefined && node.process.alive) {
          try {
            const name = Uint8Array.from({ length: 16 }, () => random.integer(0, 255));
            const flow = new Flow(this.#time, hex(name), { mayStall: this.#faults });
            this.#flows.set(flow.name, flow);
            if (this.#time.monotonic() - this.#killedMs < noticedMs) flow.excuses.add("killed");
            flow.begin(link.open(fromHex(flow.name)), node.process);
            this.#count("connection");
            return flow;
          } catch (error) {
            if (!(error instanceof Fault)) throw error;
          }
        }
      }
      await new Promise<void>((resolve) => this.#time.after(500, resolve));
    }
    return undefined;
  }

  #fault(): void {
    const { random } = this.#time;
    const connection = this.#connections.get(random.integer(0, 1));
    const what = random.pick(["cut", "cut", "cut", "silence", this.#killing ? "node" : "cut", "nexus"]);
    this.#count(`fault: ${what}`);
    switch (what) {
      case "cut":
        connection?.cut(random.pick([0, 50, 2_000]));
        break;
      case "silence":
        connection?.silence();
        break;
      case "node":
        this.#killNode(random.pick([0, 1]));
        break;
      case "nexus":
        this.#killNexus();
        break;
    }
  }

  #killNode(index: 0 | 1): void {
    const node = this.#nodes[index];
    if (node === undefined) return;
    node.process.kill();
    this.#nodes[index] = undefined;
    this.#killedMs = this.#time.monotonic();
    for (const flow of this.#flows.values()) if (!flow.whole || flow.busy) flow.excuses.add("killed");
    this.#connections.get(index)?.cut(this.#time.random.pick([0, 50]));
    this.#time.after(this.#time.random.integer(10, 3_000), () => void this.#startNode(index));
  }

  #killNexus(): void {
    this.#nexus?.process.kill();
    this.#nexus = undefined;
    for (const connection of this.#connections.values()) connection.cut(this.#time.random.pick([0, 50]));
    this.#time.after(this.#time.random.integer(10, 3_000), () => this.#nexus === undefined && this.#startNexus());
  }
}
