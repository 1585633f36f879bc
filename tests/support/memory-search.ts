import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { type Found, needles, type Wanted } from "./secret-search.ts";

const pageBytes = 4_096;
const pieceBytes = 4 << 20;
/** Pages whose state is read at once; a runtime reserves gigabytes of which it uses little. */
const pagesAtOnce = 1 << 16;
/** A page that is in memory, or swapped out (Linux, `Documentation/admin-guide/mm/pagemap.rst`): bits 63 and 62. */
const usedMask = 0xc0;

/** What was looked through, and what was found there. */
export interface MemoryFindings {
  readonly found: readonly Found[];
  readonly searchedBytes: number;
}

/** Whether the memory of other processes can be read here at all. */
export const memoryIsReadable = process.platform === "linux";

/**
 * Looks for every value, in each of its spellings, in all that the process `pid` has in memory and may read itself (Linux). Lets
 * other work go on meanwhile, so what the process does can be kept going. Rejects when its memory may not be read.
 */
export async function searchMemory(pid: number, wanted: readonly Wanted[]): Promise<MemoryFindings> {
  const sought = wanted.flatMap(needles);
  const overlapBytes = Math.max(1, ...sought.map(({ bytes }) => bytes.length)) - 1;
  const seen = new Map<string, Found>();
  const [memory, pagemap] = [openSync(`/proc/${pid}/mem`, "r"), openSync(`/proc/${pid}/pagemap`, "r")];
  let searchedBytes = 0;
  try {
    for (const { start, end } of readableMappings(pid)) {
      for (const run of usedRuns(pagemap, start, end)) {
        for (let at = run.start; at < run.end; at += pieceBytes) {
          const piece = readAt(memory, at, Math.min(pieceBytes + overlapBytes, run.end - at));
          searchedBytes += Math.min(piece.length, pieceBytes);
          for (const { name, spelling, bytes } of sought)
            if (!seen.has(name) && piece.includes(bytes))
              seen.set(name, { name, spelling, place: `memory of process ${pid}` });
          await new Promise<void>((resolve) => setImmediate(resolve));
        }
      }
    }
  } finally {
    closeSync(memory);
    closeSync(pagemap);
  }
  return { found: [...seen.values()], searchedBytes };
}

interface Range {
  readonly start: number;
  readonly end: number;
}

function readableMappings(pid: number): Range[] {
  return readFileSync(`/proc/${pid}/maps`, "utf8")
    .split("\n")
    .flatMap((line) => {
      const [, start = "", end = "", name = ""] = /^([0-9a-f]+)-([0-9a-f]+) r\S+ \S+ \S+ \S+ *(.*)$/.exec(line) ?? [];
      if (start === "" || name.startsWith("[v")) return []; // the kernel's own pages: vdso, vvar, vsyscall
      return [{ start: Number.parseInt(start, 16), end: Number.parseInt(end, 16) }];
    });
}

/** Pages beside one another that hold something: what was only reserved reads as zeros, by the gigabyte. */
function* usedRuns(pagemap: number, start: number, end: number): Generator<Range> {
  let begun: number | undefined;
  for (let at = start; at < end; at += pagesAtOnce * pageBytes) {
    const pages = Math.min(pagesAtOnce, (end - at) / pageBytes);
    const states = readAt(pagemap, (at / pageBytes) * 8, pages * 8);
    for (let page = 0; page < pages; page++) {
      const used = ((states[page * 8 + 7] ?? 0) & usedMask) !== 0;
      if (used) begun ??= at + page * pageBytes;
      else if (begun !== undefined) {
        yield { start: begun, end: at + page * pageBytes };
        begun = undefined;
      }
    }
  }
  if (begun !== undefined) yield { start: begun, end };
}

/** What can be read there; nothing where the mapping went meanwhile. */
function readAt(file: number, position: number, lengthBytes: number): Buffer {
  const bytes = Buffer.alloc(lengthBytes);
  try {
    return bytes.subarray(0, readSync(file, bytes, 0, lengthBytes, position));
  } catch (error) {
    if (error instanceof Error && "code" in error && (error.code === "EIO" || error.code === "EFAULT"))
      return bytes.subarray(0, 0);
    throw error;
  }
}
