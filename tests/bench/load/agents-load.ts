/**
 * Many agents in a process of their own: reads one JSON line with enrollment tokens, enrolls an agent with each, then obeys one
 * word a line: `open` opens a tunnel for each, `lanes` one down lane in each. Answers each line with one JSON line.
 */
import { createInterface } from "node:readline";
import { z } from "zod";
import { chooseSuite } from "#lib/crypto";
import type { Link } from "#lib/link";
import { enrollAgent, openLane, openSession } from "./agents.ts";

const atOnce = 32;
const suite = await chooseSuite();
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const first = await lines.next();
const tokens = z.array(z.string()).parse(JSON.parse(String(first.value)));
const agents = await eachOf(tokens, (token) => enrollAgent(suite, token));
answer({ agents: agents.length });
let links: Link[] = [];
for (let line = await lines.next(); line.done !== true; line = await lines.next()) {
  const began = performance.now();
  if (line.value === "open") links = await eachOf(agents, (agent) => openSession(suite, agent));
  else await eachOf(links, (link) => openLane(link, "noop"));
  answer({ ms: performance.now() - began, open: links.length });
}

/** Some at once, in order of their start; rejects with the first failure. */
async function eachOf<In, Out>(values: readonly In[], work: (value: In) => Promise<Out>): Promise<Out[]> {
  const done: Out[] = [];
  let next = 0;
  const worker = async () => {
    for (let mine = values[next++]; mine !== undefined; mine = values[next++]) done.push(await work(mine));
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return done;
}

function answer(value: object): void {
  console.log(JSON.stringify(value));
}
