/**
 * Many agents in a process of their own: reads one JSON line with enrollment tokens and where to redeem them, enrolls an agent with each (as many as
 * the time allows), then obeys one
 * word a line: `open` opens a tunnel for each, `lanes` one down lane in each, `relay` a relayed wire between each two. Answers each line with one JSON line.
 */
import { createInterface } from "node:readline";
import { z } from "zod";
import { chooseSuite } from "#lib/crypto";
import { enrollAgent, type LoadSession, openLane, openRelay, openSession } from "./agents.ts";

const atOnce = 32;
/** What goes through a relayed wire, so that Nexus has made what it makes for one. */
const relayedBytes = 16 * 1_024;
/** Each agent at an address of its own, as sites are. */
const addressOf = (index: number) => `10.${process.pid % 256}.${Math.floor(index / 256) % 256}.${index % 256}`;
const suite = await chooseSuite();
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const first = await lines.next();
const settings = z.strictObject({
  tokens: z.array(z.string()),
  solaris: z.url(),
  gatewayKey: z.string(),
  enrollMs: z.number(),
});
const { tokens, enrollMs, ...door } = settings.parse(JSON.parse(String(first.value)));
const until = performance.now() + enrollMs;
const enrolled = await eachOf(tokens, async (token, index) =>
  performance.now() < until ? await enrollAgent(suite, door, token, addressOf(index)) : undefined,
);
const agents = enrolled.filter((agent) => agent !== undefined);
answer({ agents: agents.length });
let sessions: LoadSession[] = [];
for (let line = await lines.next(); line.done !== true; line = await lines.next()) {
  const began = performance.now();
  if (line.value === "open") sessions = await eachOf(agents, (agent) => openSession(suite, agent));
  else if (line.value === "relay") await eachOf(pairs(), relay);
  else await eachOf(sessions, ({ link }) => openLane(link, "noop"));
  answer({ ms: performance.now() - began, open: sessions.length });
}

/** Indices of the first of each two. */
function pairs(): number[] {
  return Array.from({ length: Math.floor(sessions.length / 2) }, (_, pair) => pair * 2);
}

async function relay(first: number): Promise<void> {
  const [asking, asked, to] = [sessions[first], sessions[first + 1], agents[first + 1]?.keys.identity.identifier];
  if (asking === undefined || asked === undefined || to === undefined) throw new RangeError("half a pair");
  await openRelay(asking, asked, to, relayedBytes);
}

/** Some at once, results in the order of their values; rejects with the first failure. */
async function eachOf<In, Out>(
  values: readonly In[],
  work: (value: In, index: number) => Promise<Out>,
): Promise<Out[]> {
  const done: Out[] = [];
  let next = 0;
  const worker = async () => {
    while (next < values.length) {
      const index = next++;
      const value = values[index];
      if (value !== undefined) done[index] = await work(value, index);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return done;
}

function answer(value: object): void {
  console.log(JSON.stringify(value));
}
