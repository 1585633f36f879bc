import { type Bytes, concat } from "#lib/bytes";
import { Fault } from "#lib/fault";
import type { ByteSource } from "./http-head.ts";

const otherLength = () => new Fault("malformed", "a body of another length than was said");

/**
 * A body as a Web Stream that asks its source only when it is asked: `first`, then what `source` reads: `bodyBytes`, or (null) to
 * its end. Errors when there is less of it, or more: never does another message's byte count as this one's.
 */
export function bodyStream(
  first: Bytes,
  source: ByteSource,
  bodyBytes: number | null,
  seen: { ended?: () => void; cancelled?: () => void } = {},
): ReadableStream<Bytes> {
  let bytes = 0;
  let waiting: Bytes | undefined = first.length > 0 ? first : undefined;
  return new ReadableStream<Bytes>(
    {
      async pull(controller) {
        const piece = waiting ?? (bytes === bodyBytes ? null : await source.read());
        waiting = undefined;
        bytes += piece?.length ?? 0;
        if (bodyBytes !== null && (piece === null ? bytes < bodyBytes : bytes > bodyBytes)) throw otherLength();
        if (piece !== null) controller.enqueue(piece);
        if (piece !== null && bytes !== bodyBytes) return;
        seen.ended?.();
        controller.close();
      },
      cancel: () => seen.cancelled?.(),
    },
    { highWaterMark: 0 },
  );
}

/** A whole body of `bodyBytes`, which its caller found small enough. Fault `malformed` when there is less or more of it. */
export async function wholeBody(first: Bytes, source: ByteSource, bodyBytes: number): Promise<Bytes> {
  let bytes = first;
  while (bytes.length < bodyBytes) {
    const piece = await source.read();
    if (piece === null) break;
    bytes = bytes.length === 0 ? piece : concat(bytes, piece);
  }
  if (bytes.length !== bodyBytes) throw otherLength();
  return bytes;
}
