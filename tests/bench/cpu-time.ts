import { readFileSync } from "node:fs";
import type { Program } from "../support/program.ts";
import type { Stack } from "../support/stack.ts";

const ticksPerSecond = 100;

/** Processor time that a process has used, ms (Linux; 0 elsewhere). */
function usedMs({ pid }: Program): number {
  if (process.platform !== "linux") return 0;
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /, "")
    .split(" ");
  return ((Number(fields[11]) + Number(fields[12])) * 1_000) / ticksPerSecond;
}

/**
 * Begins to count what each process of a system uses; call the result to be told in words, for each of `count` messages. Says which one
 * bounds a figure, also on a machine that has other work.
 */
export function countCpu(stack: Stack): (count: number) => string {
  const nats = stack.nats === undefined ? [] : [stack.nats.program];
  const programs = [
    stack.solaris,
    ...stack.nexuses.map(({ program }) => program),
    ...stack.sites.map(({ program }) => program),
    ...nats,
  ];
  const before = programs.map(usedMs);
  return (count) =>
    programs
      .map((program, index) => {
        const microseconds = ((usedMs(program) - (before[index] ?? 0)) * 1_000) / count;
        return `${program.settings.name} ${Math.round(microseconds)}`;
      })
      .join(", ");
}
