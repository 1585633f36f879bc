import { z } from "zod";
import { utf8 } from "#lib/bytes";
import type { FileFacts } from "#lib/runtime";

/** One version of a file: changed in any of these it is another one. */
export const pickedFileSchema = z.strictObject({
  name: z.string(),
  sizeBytes: z.number(),
  modifiedMs: z.number(),
  inode: z.number(),
  /** Message id: over name, size, time and content. */
  id: z.string(),
});

export type PickedFile = z.infer<typeof pickedFileSchema>;

type Version = Pick<FileFacts, "sizeBytes" | "modifiedMs" | "inode">;

export function isSameVersion(a: Version, b: Version): boolean {
  return a.sizeBytes === b.sizeBytes && a.modifiedMs === b.modifiedMs && a.inode === b.inode;
}

/** The name under which a file is put away: by time, told apart, the end of a long name kept. */
export function putAwayName({ name, modifiedMs }: Pick<PickedFile, "name" | "modifiedMs">, id: string): string {
  const time = new Date(modifiedMs).toISOString().replace(/[-:]|\.\d+/g, "");
  let kept = name;
  while (utf8(kept).length > 200) kept = kept.slice(1);
  return `${time}-${id.slice(0, 8)}-${kept}`;
}

const listSchema = z.array(pickedFileSchema);

/** What was remembered of files that are stored and not put away yet; nothing when it can't be read. */
export function readPicked(text: string | undefined): PickedFile[] {
  return text === undefined ? [] : listSchema.parse(JSON.parse(text));
}
