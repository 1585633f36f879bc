import type { Bytes } from "#lib/bytes";
import { asFault, Fault } from "#lib/fault";
import { socketQueuedBytesMax } from "#lib/limits";
import type { MuxStream } from "#lib/link";
import { type ByteSource, encodeSocketMessage, resetReason, socketMessages } from "#lib/portal";
import type { ServerSocket } from "#lib/runtime";
import { sendable } from "./socket-close.ts";

/**
 * Passes messages between a client's WebSocket and a stream until one of them ends; what one side does not take is not read from
 * the other. Resolves with why it was cut, undefined when it was closed in order. Never rejects.
 */
export async function joinServerSocket(
  socket: ServerSocket,
  stream: MuxStream,
  first: Bytes,
  source: ByteSource,
): Promise<Fault | undefined> {
  let drained: (() => void) | undefined;
  let unsentBytes = 0;
  let isClosed = false;
  const send = (bytes: Bytes) => {
    unsentBytes += bytes.length;
    if (unsentBytes > socketQueuedBytesMax) socket.pause();
    stream.write(bytes).then(
      () => {
        unsentBytes -= bytes.length;
        if (unsentBytes <= socketQueuedBytesMax / 2) socket.resume();
      },
      () => undefined, // its reader is told
    );
  };
  socket.receive({
    message: (message) =>
      send(
        encodeSocketMessage(
          typeof message === "string" ? { type: "text", text: message } : { type: "binary", bytes: message },
        ),
      ),
    drained: () => drained?.(),
    close(code, reason) {
      isClosed = true;
      drained?.();
      const said = sendable(code);
      if (said === undefined) stream.reset("closed");
      else {
        void stream.write(encodeSocketMessage({ type: "close", code: said, reason })).catch(() => undefined); // its reader is told
        stream.end();
      }
    },
  });
  try {
    for await (const message of socketMessages(first, source)) {
      if (message.type === "close") {
        socket.close(message.code, message.reason);
        stream.end();
        return undefined;
      }
      const sent = message.type === "text" ? socket.sendText(message.text) : socket.send(message.bytes);
      if (sent === 0 && !isClosed) throw new Fault("closed", "a message was not taken");
      while (!isClosed && socket.bufferedAmount() > socketQueuedBytesMax)
        await new Promise<void>((resolve) => {
          drained = resolve;
        });
    }
    if (!isClosed) throw new Fault("closed", "the other end has ended it");
    return undefined;
  } catch (error) {
    if (isClosed) return undefined;
    const fault = resetReason(asFault(error, "internal"));
    stream.reset("closed");
    socket.close(1_011, fault.code);
    return fault;
  }
}
