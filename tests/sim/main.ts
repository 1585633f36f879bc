/** Whole systems on a fake clock, one a seed: `bun tests/sim/main.ts [--seeds N] [--from S] [--bug NAME] [--verbose]`. */
import { parseArgs } from "node:util";
import { bugs } from "./bugs.ts";
import { simWorld } from "./sim-world.ts";
import { simulate } from "./simulate.ts";

const usage = `usage: bun tests/sim/main.ts [--seeds N] [--from S] [--bug NAME] [--verbose]

Simulates two nodes, a Nexus that relays between them, and their lanes to the cloud, under faults that a seed draws.

  --seeds N    how many (default 1,000)
  --from S     the first seed (default 1); a run that failed is repeated with --from S --seeds 1
  --bug NAME   switches a bug on: ${bugs.join(", ")}
  --verbose    prints what the programs log`;

const { values } = parseArgs({
  options: {
    help: { type: "boolean", short: "h", default: false },
    seeds: { type: "string", default: "1000" },
    from: { type: "string", default: "1" },
    bug: { type: "string" },
    verbose: { type: "boolean", default: false },
  },
});
if (values.help) {
  console.log(usage);
  process.exit(0);
}
const [seeds, from] = [Number(values.seeds), Number(values.from)];
const bug = bugs.find((name) => name === values.bug);
if (!Number.isSafeInteger(seeds) || !Number.isSafeInteger(from) || (values.bug !== undefined && bug === undefined)) {
  console.error(usage);
  process.exit(2);
}
const world = await simWorld();
const counts: Record<string, number> = {};
let [failed, events] = [0, 0];
const began = performance.now();
for (let seed = from; seed < from + seeds; seed++) {
  const log = values.verbose ? { log: console.log } : {};
  const report = await simulate({ world, seed, ...(bug === undefined ? {} : { bug }), ...log });
  events += report.events;
  for (const [what, count] of Object.entries(report.counts)) counts[what] = (counts[what] ?? 0) + count;
  if (report.problems.length === 0) continue;
  failed++;
  console.error(`seed ${seed}: bun tests/sim/main.ts --from ${seed} --seeds 1`);
  for (const problem of report.problems) console.error(`  ${problem}`);
}
console.table(counts);
console.log(`${seeds} seeds, ${events} events, ${Math.round(performance.now() - began)} ms: ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
