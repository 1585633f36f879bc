import type { Socket } from "bun";

interface Peer {
  other: Socket<Peer> | undefined;
  /** What could not be written yet. */
  pending: Uint8Array[];
}

/** A TCP proxy on loopback that can be cut, refuse, or go silent: the network between a site and its cloud. */
export interface CutProxy extends Disposable {
  readonly port: number;
  /** Ends every connection, at once, on both sides. */
  cut(): void;
  /** Refuses new connections while true. */
  refuse(on: boolean): void;
  /** Passes nothing on while true, and tells nobody: a path that is dead. */
  silence(on: boolean): void;
  readonly connections: number;
}

/** Listens on `port` (0 = any) and passes bytes to `target` on 127.0.0.1, with back-pressure. */
export function cutProxy(options: { port?: number; targetPort: number }): CutProxy {
  const open = new Set<Socket<Peer>>();
  let refusing = false;
  let silent = false;
  const pass = (from: Socket<Peer>, data: Uint8Array) => {
    const { other } = from.data;
    if (silent) return;
    if (other === undefined || other.data.pending.length > 0) {
      (other?.data ?? from.data).pending.push(Uint8Array.from(data));
      return;
    }
    const written = other.write(data);
    if (written < data.length) {
      other.data.pending.push(Uint8Array.from(data.subarray(Math.max(0, written))));
      from.pause();
    }
  };
  const drain = (socket: Socket<Peer>) => {
    const { pending, other } = socket.data;
    for (let next = pending.shift(); next !== undefined; next = pending.shift()) {
      const written = socket.write(next);
      if (written < next.length) {
        pending.unshift(next.subarray(Math.max(0, written)));
        return;
      }
    }
    other?.resume();
  };
  const end = (socket: Socket<Peer>) => {
    open.delete(socket);
    const { other } = socket.data;
    socket.data.other = undefined;
    if (other !== undefined) {
      other.data.other = undefined;
      other.end();
    }
  };
  const shared = { data: pass, drain, close: end, error: end };
  const listener = Bun.listen<Peer>({
    hostname: "127.0.0.1",
    port: options.port ?? 0,
    socket: {
      ...shared,
      open(socket) {
        socket.data = { other: undefined, pending: [] };
        if (refusing) {
          socket.terminate();
          return;
        }
        open.add(socket);
        void Bun.connect<Peer>({
          hostname: "127.0.0.1",
          port: options.targetPort,
          data: { other: socket, pending: [] },
          socket: {
            ...shared,
            open(far) {
              open.add(far);
              // What came before the far side was there lies with the near one.
              far.data.pending.push(...socket.data.pending.splice(0));
              socket.data.other = far;
              drain(far);
            },
          },
        }).catch(() => socket.terminate()); // nobody listens there: the client sees a closed connection
      },
    },
  });
  const cut = () => {
    for (const socket of open) socket.terminate();
    open.clear();
  };
  return {
    port: listener.port,
    cut,
    refuse: (on) => {
      refusing = on;
    },
    silence: (on) => {
      silent = on;
    },
    get connections() {
      return open.size;
    },
    [Symbol.dispose]() {
      cut();
      listener.stop(true);
    },
  };
}
