import { type Bytes, concat } from "#lib/bytes";
import { Fault } from "#lib/fault";

type Body = ReadableStream<Uint8Array<ArrayBuffer>> | null;

/** The whole body. Fault `too_large` past `bytesMax`: what follows is not read. Rejects with what the stream breaks with. */
export async function readBounded(body: Body, bytesMax: number): Promise<Bytes> {
  const { bytes, more } = await readStart(body, bytesMax);
  if (more) throw new Fault("too_large", `more than ${bytesMax} bytes`, { detail: { bytesMax } });
  return bytes;
}

/** The first `bytesMax` bytes of a body and whether there is more; the rest is not read. */
export async function readStart(
  body: Body,
  bytesMax: number,
): Promise<{ readonly bytes: Bytes; readonly more: boolean }> {
  if (body === null) return { bytes: new Uint8Array(0), more: false };
  const reader = body.getReader();
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return { bytes: concat(...parts), more: false };
    parts.push(value);
    length += value.length;
    if (length > bytesMax) {
      await reader.cancel().catch(() => undefined); // it is gone either way
      return { bytes: concat(...parts).slice(0, bytesMax), more: true };
    }
  }
}
