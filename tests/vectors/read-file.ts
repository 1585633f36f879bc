import { readFile } from "node:fs/promises";

/** The JSON of a file, or why it can't be had, in words for whoever named the file. */
export async function readJson(path: string): Promise<{ value: unknown } | { reason: string }> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ENOENT") return { reason: "no such file" };
    if (code === "EISDIR") return { reason: "is a directory: name the files in it" };
    if (code === "EACCES") return { reason: "may not be read" };
    return { reason: `can't be read (${String(code ?? error)})` };
  }
  try {
    return { value: JSON.parse(text) };
  } catch (error) {
    return { reason: `is not JSON (${error instanceof Error ? error.message : "unknown"})` };
  }
}
