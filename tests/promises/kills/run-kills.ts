import { eventually } from "../../support/eventually.ts";
import { Stack } from "../../support/stack.ts";
import type { SeededRandom } from "../seed.ts";
import { compare } from "./compare.ts";
import { startTraffic, type Traffic } from "./traffic.ts";

export interface KillOptions {
  readonly broker: "embedded" | "nats";
  readonly kills: number;
  readonly random: SeededRandom;
  /** Folder of everything; default a new one, removed at the end. */
  readonly directory?: string;
  /** Hears what happens. */
  readonly tell?: (line: string) => void;
}

export interface KillReport {
  /** How often each process was killed. */
  readonly kills: Readonly<Record<string, number>>;
  readonly flows: readonly {
    readonly name: string;
    readonly accepted: number;
    readonly arrived: number;
    readonly unknown: number;
    readonly repeats: number;
  }[];
  /** Everything that breaks the promise. Empty = it held. */
  readonly problems: readonly string[];
}

interface Victim {
  readonly name: string;
  kill(): Promise<void>;
  /** Resolves when it is ready again. */
  start(): Promise<void>;
}

/** Nothing is under way any more when every flow has arrived; then this long may pass at most. */
const drainMs = 90_000;
/** What comes back after a kill does so in this time, or the promise of staying connected is broken. */
const flowsAgainMs = 60_000;

/** Load in both directions, processes killed at random moments, then both ends compared message by message. */
export async function runKills(options: KillOptions): Promise<KillReport> {
  const { broker, random, tell = () => undefined } = options;
  const { directory } = options;
  await using stack = await Stack.start({ broker, ...(directory === undefined ? {} : { directory }) });
  try {
    await using traffic = await startTraffic(stack, random.seed + 1);
    const kills: Record<string, number> = {};
    const victims = victimsOf(stack, traffic);
    for (const victim of schedule(victims, options)) {
      await killOnce(victim, random, tell);
      kills[victim.name] = (kills[victim.name] ?? 0) + 1;
      // Now and then the next one comes before everything has found together again.
      if (random.integer(0, 2) > 0) await flowsAgain(traffic);
    }
    tell("no more kills; what is under way arrives");
    for (const { load } of traffic.flows) await load?.stop();
    await drained(traffic);
    // Whatever a broker or a store still held back would come now, before the last message of its lane.
    for (const victim of victims) {
      await victim.kill();
      await victim.start();
    }
    for (const { load } of traffic.flows) await load?.one();
    await drained(traffic);
    const unknownMax = (kills.mercury ?? 0) + 1; // of a call under way, one for each time that Mercury was killed
    return { kills, ...(await report(stack, traffic, unknownMax)) };
  } catch (error) {
    tell(stack.logs());
    throw error;
  }
}

function victimsOf(stack: Stack, { site }: Traffic): Victim[] {
  const [nexus] = stack.nexuses;
  const { nats } = stack;
  const agent: Victim = { name: "mercury", kill: () => site.program.kill(), start: async () => site.start() };
  const solaris: Victim = {
    name: nexus === undefined ? "solaris with nexus" : "solaris",
    kill: () => stack.solaris.kill(),
    start: () => stack.startSolaris(),
  };
  if (nexus === undefined || nats === undefined) return [agent, solaris];
  return [
    agent,
    solaris,
    { name: "nexus", kill: () => nexus.program.kill(), start: () => stack.startNexus(nexus) },
    { name: "nats-server", kill: () => nats.program.kill(), start: () => stack.startNats() },
  ];
}

/** Every victim about equally often, in an order of the seed. */
function schedule(victims: readonly Victim[], { kills, random }: KillOptions): Victim[] {
  const rounds = Math.ceil(kills / victims.length);
  return Array.from({ length: rounds }, () => random.shuffled(victims))
    .flat()
    .slice(0, kills);
}

async function killOnce(victim: Victim, random: SeededRandom, tell: (line: string) => void): Promise<void> {
  const [waitMs, awayMs] = [random.integer(0, 900), random.pick([0, 0, random.integer(0, 1_500)])];
  await Bun.sleep(waitMs); // the moment of the kill is drawn, nothing is waited for
  const began = performance.now();
  await victim.kill();
  await Bun.sleep(awayMs); // likewise
  await victim.start();
  tell(`${victim.name} killed after ${waitMs} ms, away for ${Math.round(performance.now() - began)} ms`);
}

/** Every lane goes on: the next kill meets load again. */
async function flowsAgain({ flows }: Traffic): Promise<void> {
  const before = await Promise.all(flows.map(arrivedCount));
  await eventually(
    "every lane goes on after a kill",
    async () => {
      const now = await Promise.all(flows.map(arrivedCount));
      return now.every((count, index) => count > (before[index] ?? 0));
    },
    { timeoutMs: flowsAgainMs, everyMs: 250 },
  );
}

async function arrivedCount(flow: Traffic["flows"][number]): Promise<number> {
  const { arrived, unknown = [] } = await flow.ends();
  return arrived.length + unknown.length;
}

/** Resolves when nothing is missing; when time is up, too: the report says what is. */
async function drained({ flows }: Traffic): Promise<void> {
  const complete = async () => {
    const ends = await Promise.all(flows.map((flow) => flow.ends()));
    return ends.every((each) => !compare(each).some((problem) => problem.includes("lost")));
  };
  await eventually("everything arrives", complete, { timeoutMs: drainMs, everyMs: 300 }).catch(() => undefined);
}

async function report(
  stack: Stack,
  { agentId, flows }: Traffic,
  unknownMax: number,
): Promise<Omit<KillReport, "kills">> {
  const problems: string[] = [];
  const lines: KillReport["flows"][number][] = [];
  for (const flow of flows) {
    const ends = await flow.ends();
    problems.push(...compare(ends).map((problem) => `${flow.name}: ${problem}`));
    const { accepted, arrived, unknown = [] } = ends;
    if (unknown.length > unknownMax)
      problems.push(
        `${flow.name}: ${unknown.length} unknown, where only ${unknownMax} calls can have been interrupted`,
      );
    lines.push({
      name: flow.name,
      accepted: accepted.length,
      arrived: arrived.length,
      unknown: unknown.length,
      repeats: flow.load?.repeats ?? 0,
    });
  }
  const dead = await stack.api.all<{ plugin: string; code: string }>(`/dead-letters?agentId=${agentId}&kind=dead`);
  problems.push(...dead.map(({ plugin, code }) => `a dead letter of ${plugin}: ${code}`));
  const { items } = await stack.api.call<{ items: { code: string; reason: string }[] }>("GET", "/quarantine");
  problems.push(...items.map(({ code, reason }) => `in quarantine: ${code}, ${reason}`));
  problems.push(...(await wrongStates(stack, agentId, lines)));
  return { flows: lines, problems };
}

/** The API's own word: everything pushed is applied, or unknown where a system keeps no keys. */
async function wrongStates(stack: Stack, agentId: string, flows: KillReport["flows"]): Promise<string[]> {
  const unknowns = flows.reduce((sum, { unknown }) => sum + unknown, 0);
  const pushed = flows.filter(({ name }) => name.startsWith("push")).reduce((sum, { accepted }) => sum + accepted, 0);
  const states = async () => {
    const messages = await stack.api.all<{ state: string }>(`/messages?agentId=${agentId}&limit=200`);
    const counts = Object.groupBy(messages, ({ state }) => state);
    const applied = counts.applied?.length ?? 0;
    const right = applied === pushed - unknowns && (counts.unknown?.length ?? 0) === unknowns;
    return right && messages.length === pushed
      ? []
      : Object.entries(counts).map(([state, of]) => `${of?.length} ${state}`);
  };
  return await eventually("the API knows what was applied", async () => (await states()).length === 0 && [], {
    timeoutMs: 15_000,
    everyMs: 250,
  }).catch(async () => [`of ${pushed} pushed the API says: ${(await states()).join(", ")}`]);
}
