/** A TCP server that gives back what it gets, and can stop reading. */
export interface EchoServer extends Disposable {
  readonly port: number;
}

export function echoServer(): EchoServer {
  const waiting = new WeakMap<object, Uint8Array[]>();
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open: (socket) => void waiting.set(socket, []),
      data(socket, bytes) {
        const queue = waiting.get(socket) ?? [];
        const written = queue.length > 0 ? 0 : Math.max(0, socket.write(bytes));
        if (written < bytes.length) queue.push(bytes.slice(written));
      },
      drain(socket) {
        const queue = waiting.get(socket) ?? [];
        for (let [first] = queue; first !== undefined; [first] = queue) {
          const written = Math.max(0, socket.write(first));
          if (written < first.length) {
            queue[0] = first.subarray(written);
            return;
          }
          queue.shift();
        }
      },
      error: () => undefined,
    },
  });
  return { port: listener.port, [Symbol.dispose]: () => listener.stop(true) };
}
