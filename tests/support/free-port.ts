/** A port of 127.0.0.1 that was free a moment ago: for programs that must come back at the same place after a restart. */
export function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
  const { port } = listener;
  listener.stop(true);
  return port;
}
