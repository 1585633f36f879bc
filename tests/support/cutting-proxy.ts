import type { Socket } from "bun";

/** `up`: from who dialled to the target; `down`: back. */
export type Direction = "up" | "down";

/** A TCP proxy whose connections a test can cut or hold. */
export interface CuttingProxy extends Disposable {
  readonly port: number;
  /** Ends every connection that is open now. */
  cut(): void;
  /** Passes nothing on (in one direction, or both), closes nothing, until `release`. New connections are held too. */
  hold(direction?: Direction): void;
  release(): void;
  /** Calls `hear` with what comes from those who dialled, before it is passed on. */
  onUp(hear: (bytes: Uint8Array) => void): void;
}

interface Pair {
  readonly direction: Direction;
  peer: Socket<Pair> | undefined;
  /** Its own end was closed: the peer is told after what waits. */
  closed: boolean;
  /** What can't be passed on yet. */
  waiting: Uint8Array[];
}

/** Listens on a free port of 127.0.0.1 and passes bytes to `targetPort` and back. */
export function cuttingProxy(targetPort: number): CuttingProxy {
  const open = new Set<Socket<Pair>>();
  const held = new Set<Direction>();
  let hearUp: (bytes: Uint8Array) => void = () => undefined;
  const flush = (socket: Socket<Pair>) => {
    const { direction, peer, waiting } = socket.data;
    while (!held.has(direction) && peer !== undefined && waiting.length > 0) {
      const [first = new Uint8Array(0)] = waiting;
      const written = peer.write(first);
      if (written < 0) return;
      if (written < first.length) {
        waiting[0] = first.subarray(written);
        return;
      }
      waiting.shift();
    }
    if (!socket.data.closed || held.has(direction)) return;
    open.delete(socket);
    peer?.end();
  };
  const handlers = {
    data(socket: Socket<Pair>, bytes: Uint8Array) {
      if (socket.data.direction === "up") hearUp(bytes);
      socket.data.waiting.push(bytes.slice());
      flush(socket);
    },
    drain(socket: Socket<Pair>) {
      if (socket.data.peer !== undefined) flush(socket.data.peer);
    },
    close(socket: Socket<Pair>) {
      socket.data.closed = true;
      flush(socket);
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
        socket.data = { direction: "up", peer: undefined, closed: false, waiting: [] };
        Bun.connect<Pair>({
          hostname: "127.0.0.1",
          port: targetPort,
          data: { direction: "down", peer: socket, closed: false, waiting: [] },
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
    hold(direction) {
      for (const each of direction === undefined ? (["up", "down"] as const) : [direction]) held.add(each);
    },
    onUp(hear) {
      hearUp = hear;
    },
    release() {
      held.clear();
      for (const socket of [...open]) flush(socket);
    },
    [Symbol.dispose]() {
      for (const socket of [...open]) socket.terminate();
      listener.stop(true);
    },
  };
}
