import type { Socket } from "bun";

/** A TCP proxy whose connections a test can cut or hold. */
export interface CuttingProxy extends Disposable {
  readonly port: number;
  /** Ends every connection that is open now. */
  cut(): void;
  /** Passes nothing on, closes nothing, until `release`. New connections are held too. */
  hold(): void;
  release(): void;
}

interface Pair {
  peer: Socket<Pair> | undefined;
  /** What can't be passed on yet. */
  waiting: Uint8Array[];
}

/** Listens on a free port of 127.0.0.1 and passes bytes to `targetPort` and back. */
export function cuttingProxy(targetPort: number): CuttingProxy {
  const open = new Set<Socket<Pair>>();
  let held = false;
  const flush = (socket: Socket<Pair>) => {
    const { peer, waiting } = socket.data;
    while (!held && peer !== undefined && waiting.length > 0) {
      const [first = new Uint8Array(0)] = waiting;
      const written = peer.write(first);
      if (written < 0) return;
      if (written < first.length) {
        waiting[0] = first.subarray(written);
        return;
      }
      waiting.shift();
    }
  };
  const handlers = {
    data(socket: Socket<Pair>, bytes: Uint8Array) {
      socket.data.waiting.push(bytes.slice());
      flush(socket);
    },
    drain(socket: Socket<Pair>) {
      if (socket.data.peer !== undefined) flush(socket.data.peer);
    },
    close(socket: Socket<Pair>) {
      open.delete(socket);
      socket.data.peer?.end();
    },
    error: () => undefined,
  };
  const listener = Bun.listen<Pair>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      ...handlers,
      open(socket) {
        open.add(socket);
        socket.data = { peer: undefined, waiting: [] };
        Bun.connect<Pair>({
          hostname: "127.0.0.1",
          port: targetPort,
          data: { peer: socket, waiting: [] },
          socket: handlers,
        }).then(
          (peer) => {
            open.add(peer);
            socket.data.peer = peer;
            flush(socket);
          },
          () => socket.end(),
        );
      },
    },
  });
  return {
    port: listener.port,
    cut() {
      for (const socket of [...open]) socket.terminate();
      open.clear();
    },
    hold() {
      held = true;
    },
    release() {
      held = false;
      for (const socket of [...open]) flush(socket);
    },
    [Symbol.dispose]() {
      for (const socket of [...open]) socket.terminate();
      listener.stop(true);
    },
  };
}
