import type { Socket } from "bun";

interface Way {
  peer: Socket<Way> | undefined;
  waiting: Uint8Array[];
  waitingBytes: number;
  /** When the line is free again, monotonic ms. */
  freeMs: number;
  paused: boolean;
  busy: boolean;
}

/** What the line itself holds in one direction: a little, as a router of a site does. */
const lineBytesMax = 16 * 1_024;
const pieceBytes = 4_096;

/** A TCP proxy on a free port of 127.0.0.1 that passes so many bytes a second in each direction of a connection, and no more. */
export function slowProxy(targetPort: number, bytesPerSecond: number): Disposable & { readonly port: number } {
  const open = new Set<Socket<Way>>();
  const fresh = (peer: Socket<Way> | undefined): Way => ({
    peer,
    waiting: [],
    waitingBytes: 0,
    freeMs: 0,
    paused: false,
    busy: false,
  });
  const pass = (from: Socket<Way>) => {
    const way = from.data;
    if (way.busy || way.peer === undefined) return;
    const first = way.waiting[0];
    if (first === undefined) return;
    const piece = first.subarray(0, pieceBytes);
    if (piece.length === first.length) way.waiting.shift();
    else way.waiting[0] = first.subarray(piece.length);
    way.waitingBytes -= piece.length;
    way.busy = true;
    const now = performance.now();
    way.freeMs = Math.max(now, way.freeMs) + (piece.length * 1_000) / bytesPerSecond;
    const send = () => {
      way.busy = false;
      way.peer?.write(piece); // far less than the system takes
      if (way.paused && way.waitingBytes < lineBytesMax) {
        way.paused = false;
        from.resume();
      }
      pass(from);
    };
    const waitMs = way.freeMs - now;
    if (waitMs < 1) send();
    else setTimeout(send, waitMs);
  };
  const handlers = {
    data(socket: Socket<Way>, bytes: Uint8Array) {
      socket.data.waiting.push(bytes.slice());
      socket.data.waitingBytes += bytes.length;
      if (socket.data.waitingBytes > lineBytesMax && !socket.data.paused) {
        socket.data.paused = true;
        socket.pause();
      }
      pass(socket);
    },
    close(socket: Socket<Way>) {
      open.delete(socket);
      socket.data.peer?.end();
    },
    error: () => undefined,
  };
  const listener = Bun.listen<Way>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      ...handlers,
      open(socket) {
        socket.data = fresh(undefined);
        open.add(socket);
        void Bun.connect<Way>({
          hostname: "127.0.0.1",
          port: targetPort,
          data: fresh(socket),
          socket: {
            ...handlers,
            open(target) {
              open.add(target);
              socket.data.peer = target;
              pass(socket);
            },
          },
        }).catch(() => socket.end());
      },
    },
  });
  return {
    port: listener.port,
    [Symbol.dispose]() {
      listener.stop(true);
      for (const socket of open) socket.terminate();
    },
  };
}
