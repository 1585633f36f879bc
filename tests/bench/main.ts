/** `bun run bench [name…] [--agents=N] [--json]`: measures, each figure beside its yardstick in the same run. */
import { loadavg } from "node:os";
import { benchmarks } from "./benchmarks.ts";
import { type Figure, notMeasured } from "./figure.ts";
import { fsyncTimeMs } from "./fsync-time.ts";
import { table } from "./table.ts";

const words = process.argv.slice(2);
const json = words.includes("--json");
const names = words.filter((word) => !word.startsWith("--"));
const agents = Number(words.find((word) => word.startsWith("--agents="))?.slice("--agents=".length) ?? 5_000);
/** `portal` stands for `portal-memory` too, `all` for every one. */
const means = (asked: string, name: string) => asked === "all" || name === asked || name.startsWith(`${asked}-`);
const unknown = names.filter((asked) => !benchmarks.some(({ name }) => means(asked, name)));

if (words.includes("--help") || unknown.length > 0) {
  const list = benchmarks
    .map(({ name, what, asked }) => `  ${name.padEnd(16)} ${what}${asked === true ? " (only when named)" : ""}`)
    .join("\n");
  if (unknown.length > 0) console.error(`no such benchmark: ${unknown.join(", ")}\n`);
  console.error(`usage: bun run bench [name… | all] [--agents=N] [--json]\n\n${list}`);
  process.exit(unknown.length > 0 ? 2 : 0);
}

console.error(`fsync of 4 KiB: ${fsyncTimeMs().toFixed(2)} ms; load before: ${loadavg()[0]?.toFixed(1)}`);
const figures: Figure[] = [];
for (const { name, what, needs, asked, run } of benchmarks) {
  if (names.length > 0 ? !names.some((word) => means(word, name)) : asked === true) continue;
  console.error(`· ${name}: ${what}`);
  if (needs !== undefined && Bun.which(needs) === null) {
    console.error(`  not measured: ${needs} is not installed`);
    figures.push(notMeasured(name));
    continue;
  }
  figures.push(
    ...(await run((note) => console.error(`  ${note}`), { agents, enrollMsMax: names.length > 0 ? 180_000 : 30_000 })),
  );
}
console.error(`load after: ${loadavg()[0]?.toFixed(1)}`);
console.log(json ? JSON.stringify(figures) : table(figures));
process.exit(figures.some(({ ok }) => ok === false) ? 1 : 0);
