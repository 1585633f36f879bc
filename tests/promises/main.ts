/** Promise 1 for as long as you like: `bun tests/promises/main.ts [--kills N] [--seed S] [--broker embedded|nats] [--directory D]`. */
import { parseArgs } from "node:util";
import { runKills } from "./kills/run-kills.ts";
import { chosenSeed, seededRandom } from "./seed.ts";

const usage = `usage: bun tests/promises/main.ts [--kills N] [--seed S] [--broker embedded|nats] [--directory D]

Kills one process after the other under load, then compares both sides message by message.

  --kills N         how many (default 100)
  --seed S          repeats a run that printed it
  --broker NAME     embedded (default), or nats: a process for each program
  --directory D     keeps data and logs there`;

const { values } = parseArgs({
  options: {
    help: { type: "boolean", short: "h", default: false },
    kills: { type: "string", default: "100" },
    seed: { type: "string" },
    broker: { type: "string", default: "embedded" },
    directory: { type: "string" },
  },
});
if (values.help) {
  console.log(usage);
  process.exit(0);
}
const { broker, directory } = values;
const kills = Number(values.kills);
const seed = values.seed === undefined ? chosenSeed() : Number(values.seed);
if (!Number.isSafeInteger(kills) || !Number.isSafeInteger(seed) || (broker !== "embedded" && broker !== "nats")) {
  console.error(usage);
  process.exit(2);
}
console.log(`${kills} kills, ${broker}, seed ${seed}`);
const report = await runKills({
  broker,
  kills,
  random: seededRandom(seed),
  tell: console.log,
  ...(directory === undefined ? {} : { directory }),
});
console.table(report.flows);
console.log(report.kills);
for (const problem of report.problems) console.error(problem);
console.log(report.problems.length === 0 ? "the promise held" : `broken; repeat with --seed ${seed}`);
process.exit(report.problems.length === 0 ? 0 : 1);
