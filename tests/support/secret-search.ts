import { createReadStream, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

/** A value that must be nowhere: its name for the report, its bytes. */
export interface Wanted {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** Where a value, in one of its usual spellings, was found. */
export interface Found {
  readonly name: string;
  readonly place: string;
  readonly spelling: string;
}

/** One spelling of a value. */
export interface Needle {
  readonly name: string;
  readonly spelling: string;
  readonly bytes: Buffer;
}

/** The spellings in which a value leaks in practice: raw, hex, base64 at each of its three alignments, URL-encoded. */
export function needles({ name, bytes }: Wanted): Needle[] {
  const raw = Buffer.from(bytes);
  const aligned = [0, 1, 2].flatMap((shift) => {
    const text = Buffer.concat([Buffer.alloc(shift), raw])
      .toString("base64")
      .replace(/=+$/, "");
    // Characters that mix with what stands before and behind are cut off.
    const inner = text.slice(Math.ceil((shift * 4) / 3), Math.floor(((shift + raw.length) * 4) / 3));
    return [
      { spelling: "base64", text: inner },
      { spelling: "base64url", text: inner.replaceAll("+", "-").replaceAll("/", "_") },
    ];
  });
  const spellings = [
    { spelling: "hex", text: raw.toString("hex") },
    { spelling: "HEX", text: raw.toString("hex").toUpperCase() },
    ...aligned,
  ];
  return [
    { name, spelling: "raw", bytes: raw },
    ...spellings.map(({ spelling, text }) => ({ name, spelling, bytes: Buffer.from(text) })),
  ];
}

/** Looks for every value in every file below `folders`, at any depth, streamed: files may be large. */
export async function searchFiles(folders: readonly string[], wanted: readonly Wanted[]): Promise<Found[]> {
  const sought = wanted.flatMap(needles);
  const overlap = Math.max(0, ...sought.map(({ bytes }) => bytes.length)) - 1;
  const found: Found[] = [];
  for (const path of folders.flatMap(filesBelow)) {
    let tail = Buffer.alloc(0);
    const seen = new Set<string>();
    try {
      for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
        const window = Buffer.concat([tail, chunk as Buffer]); // a binary stream gives Buffers
        for (const { name, spelling, bytes } of sought) {
          if (!seen.has(name) && window.includes(bytes)) {
            seen.add(name);
            found.push({ name, place: path, spelling });
          }
        }
        tail = window.subarray(Math.max(0, window.length - overlap));
      }
    } catch (error) {
      if (!isGone(error)) throw error; // a temporary file that went while we looked holds nothing any more
    }
  }
  return found;
}

/** Looks for every value in the command line and the environment-free arguments of the processes `pids` (Linux). */
export function searchArguments(pids: readonly number[], wanted: readonly Wanted[]): Found[] {
  const sought = wanted.flatMap(needles);
  return pids.flatMap((pid) => {
    let line: Buffer;
    try {
      line = readFileSync(`/proc/${pid}/cmdline`);
    } catch (error) {
      if (isGone(error)) return [];
      throw error;
    }
    return sought
      .filter(({ bytes }) => line.includes(bytes))
      .map(({ name, spelling }) => ({ name, place: `arguments of process ${pid}`, spelling }));
  });
}

/** Looks for every value in text that was captured, such as what a process printed. */
export function searchText(place: string, text: string, wanted: readonly Wanted[]): Found[] {
  const bytes = Buffer.from(text);
  return wanted
    .flatMap(needles)
    .filter((needle) => bytes.includes(needle.bytes))
    .map(({ name, spelling }) => ({ name, place, spelling }));
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((path) => join(folder, path))
    .filter((path) => {
      try {
        return statSync(path).isFile();
      } catch (error) {
        if (isGone(error)) return false;
        throw error;
      }
    });
}

function isGone(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ESRCH");
}
