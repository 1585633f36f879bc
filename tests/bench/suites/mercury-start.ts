import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { Stack, sourceCommands } from "../../support/stack.ts";
import { atMost, type Figure } from "../figure.ts";
import { median } from "../median.ts";
import { residentBytes } from "../resident-bytes.ts";

const starts = 3;
const idleMs = 3_000;
const binary = resolve(import.meta.dir, `../../../dist/mercury-${process.platform}-${process.arch}`);

/** From source, and as the compiled binary where there is one. */
export async function mercuryStart(note: (text: string) => void): Promise<readonly Figure[]> {
  const figures = [...(await measured("from source", sourceCommands.mercury, note))];
  if (existsSync(binary)) figures.push(...(await measured("binary", [binary], note)));
  else note(`no ${binary}: \`bun run build\` makes it`);
  return figures;
}

async function measured(form: string, mercury: readonly string[], note: (text: string) => void): Promise<Figure[]> {
  await using stack = await Stack.start({ commands: { mercury } });
  const { site } = await stack.addAgent();
  const times: number[] = [];
  for (let start = 0; start < starts; start++) {
    await site.program.stop();
    const began = performance.now();
    site.start();
    await site.program.until(/"online"/);
    times.push(performance.now() - began);
  }
  note(`${form}: ${times.map((ms) => Math.round(ms)).join(", ")} ms`);
  await Bun.sleep(idleMs);
  const residentMb = residentBytes(site.program.pid) / 1e6;
  return [
    atMost(`Mercury start to online, ${form}`, median(times), "ms", 500),
    atMost(`Mercury resident, idle, ${form}`, residentMb, "MB", 120),
  ];
}
