import type { Bytes } from "#lib/bytes";
import { Fault } from "#lib/fault";
import { portalUnsentBytesMax } from "#lib/limits";
import type { MuxStream } from "#lib/link";
import type { TcpSocket } from "#lib/runtime";

/** What `joinSocket` joins a socket to. */
export type PortalStream = Pick<MuxStream, "read" | "write" | "end" | "reset">;

/** A socket in the place of a stream to another node: what is not read from it is not taken from the system. */
export function socketStream(socket: TcpSocket): PortalStream {
  const held: Bytes[] = [];
  let heldBytes = 0;
  let hasEnded = false;
  let fault: Fault | undefined;
  let wake: (() => void) | undefined;
  const drained: (() => void)[] = [];
  const woken = () => {
    wake?.();
    wake = undefined;
  };
  const goOn = () => {
    for (const resume of drained.splice(0)) resume();
  };
  socket.receive({
    data(bytes) {
      held.push(bytes);
      heldBytes += bytes.length;
      if (heldBytes > portalUnsentBytesMax) socket.pause();
      woken();
    },
    ended() {
      hasEnded = true;
      woken();
    },
    drained: goOn,
    closed(lost) {
      fault ??= lost ?? new Fault("closed", "the service has closed the connection");
      hasEnded ||= lost === undefined;
      woken();
      goOn();
    },
  });
  return {
    async read() {
      for (;;) {
        const next = held.shift();
        if (next !== undefined) {
          heldBytes -= next.length;
          if (heldBytes <= portalUnsentBytesMax / 2) socket.resume();
          return next;
        }
        if (hasEnded) return null;
        if (fault !== undefined) throw fault;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
    async write(bytes) {
      if (fault !== undefined) throw fault;
      if (!socket.write(bytes)) await new Promise<void>((resolve) => drained.push(resolve));
      if (fault !== undefined) throw fault;
    },
    end: () => socket.end(),
    reset() {
      fault ??= new Fault("closed", "the connection was cut");
      held.length = 0;
      woken();
      socket.reset();
    },
  };
}
