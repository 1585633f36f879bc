import type { Bytes } from "#lib/bytes";
import type { MuxStream } from "#lib/mux";

/**
 * A mux stream as a pair of Web Streams. Closing the writable says `fin`, the peer's `fin` ends the readable;
 * cancelling or aborting either resets the stream (`closed`). Back-pressure is the stream's own: neither holds bytes.
 */
export function webStreams(stream: MuxStream): {
  readonly readable: ReadableStream<Bytes>;
  readonly writable: WritableStream<Bytes>;
} {
  const readable = new ReadableStream<Bytes>(
    {
      async pull(controller) {
        const bytes = await stream.read();
        if (bytes === null) controller.close();
        else controller.enqueue(bytes);
      },
      cancel: () => stream.reset("closed"),
    },
    { highWaterMark: 0 },
  );
  const writable = new WritableStream<Bytes>(
    {
      write: (bytes) => stream.write(bytes),
      close: () => stream.end(),
      abort: () => stream.reset("closed"),
    },
    { highWaterMark: 1 },
  );
  return { readable, writable };
}
