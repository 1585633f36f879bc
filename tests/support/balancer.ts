import type { Socket } from "bun";

/** What stands before several replicas: each new connection goes to the next one that takes it. */
export interface Balancer extends Disposable {
  readonly port: number;
}

interface Pair {
  peer: Socket<Pair> | undefined;
  waiting: Uint8Array[];
}

/** Listens on a free port of 127.0.0.1 and passes bytes to one of `targetPorts` and back. */
export function balancer(targetPorts: readonly number[]): Balancer {
  let turn = 0;
  const flush = (to: Socket<Pair>) => {
    const { waiting } = to.data;
    for (let piece = waiting[0]; piece !== undefined; piece = waiting[0]) {
      const written = to.write(piece);
      if (written < piece.length) {
        waiting[0] = piece.subarray(Math.max(0, written));
        return;
      }
      waiting.shift();
    }
  };
  const handlers = {
    data({ data: { peer } }: Socket<Pair>, bytes: Uint8Array) {
      if (peer === undefined) return;
      peer.data.waiting.push(bytes.slice());
      flush(peer);
    },
    drain: flush,
    close: ({ data: { peer } }: Socket<Pair>) => void peer?.end(),
    error: ({ data: { peer } }: Socket<Pair>) => void peer?.end(),
  };
  const connect = async (client: Socket<Pair>): Promise<void> => {
    for (let tries = 0; tries < targetPorts.length; tries++) {
      const port = targetPorts[turn++ % targetPorts.length] ?? 0;
      try {
        const data: Pair = { peer: client, waiting: [] };
        client.data.peer = await Bun.connect<Pair>({ hostname: "127.0.0.1", port, data, socket: handlers });
        client.resume();
        return;
      } catch {
        // That replica does not listen: the next one.
      }
    }
    client.end();
  };
  const listener = Bun.listen<Pair>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      ...handlers,
      open(client) {
        client.data = { peer: undefined, waiting: [] };
        client.pause(); // what it sends waits in the kernel until a replica has taken it
        void connect(client);
      },
    },
  });
  return { port: listener.port, [Symbol.dispose]: () => listener.stop(true) };
}
