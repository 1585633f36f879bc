/**
 * Many agents in a process of their own: reads one JSON line with enrollment tokens and where to redeem them, enrolls an agent with each (as many as
 * the time allows), then obeys one
 * word a line: `open` opens a tunnel for each, `lanes` one down lane in each. Answers each line with one JSON line.
 */
import { createInterface } from "node:readline";
import { z } from "zod";
import { chooseSuite } from "#lib/crypto";
import type { Link } from "#lib/link";
import { enrollAgent, openLane, openSession } from "./agents.ts";

const atOnce = 32;
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
let links: Link[] = [];
for (let line = await lines.next(); line.done !== true; line = await lines.next()) {
  const began = performance.now();
  if (line.value === "open") links = await eachOf(agents, (agent) => openSession(suite, agent));
  else await eachOf(links, (link) => openLane(link, "noop"));
  answer({ ms: performance.now() - began, open: links.length });
}

/** Some at once, in order of their start; rejects with the first failure. */
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
      if (value !== undefined) done.push(await work(value, index));
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return done;
}

function answer(value: object): void {
  console.log(JSON.stringify(value));
}
