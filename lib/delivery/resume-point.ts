/** Last entry that a reader has stored, and the life of the stream in which its sequence counts. */
export interface StoredThrough {
  readonly created: string;
  readonly seq: number;
}

/** Where a reader goes on. */
export interface ResumePoint {
  /** Creation text that its entries carry from now on. */
  readonly created: string;
  /** Entries through this sequence are stored at the reader. */
  readonly from: number;
}

/**
 * Where a reader with `cursor` goes on in a stream that was created at `created` and has given out `lastSeq`. A cursor of another
 * stream counts from the start. One ahead of `lastSeq` comes from a stream that lost its end (a power cut before the disk had it, an old
 * copy): the lost numbers are given out again, so the lane counts from the start under a new text, and message ids tell what is known.
 */
export function resumePoint(
  cursor: StoredThrough | undefined,
  stream: { readonly created: string; readonly lastSeq: number },
  uniqueText: () => string,
): ResumePoint {
  if (cursor === undefined || streamLife(cursor.created) !== stream.created)
    return { created: stream.created, from: 0 };
  if (cursor.seq > stream.lastSeq) return { created: `${stream.created}#${uniqueText()}`, from: 0 };
  return { created: cursor.created, from: cursor.seq };
}

/** The stream's own creation time in an entry's `created`: what receipts carry. */
export function streamLife(created: string): string {
  const mark = created.indexOf("#");
  return mark < 0 ? created : created.slice(0, mark);
}
