/** Connects, sends one byte and waits until it is back, `count` times one after the other; ms of each. */
export async function connectTimes(port: number, count: number): Promise<number[]> {
  const times: number[] = [];
  for (let done = 0; done < count; done++) {
    const began = performance.now();
    const echoed = Promise.withResolvers<void>();
    const socket = await Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        open: (opened) => {
          opened.write("x");
        },
        data: () => echoed.resolve(),
        close: () => echoed.reject(new RangeError("closed before the echo")),
        error: (_, error) => echoed.reject(error),
      },
    });
    await echoed.promise;
    times.push(performance.now() - began);
    socket.end();
  }
  return times;
}

/** The value below which `share` of `values` are; NaN of none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
