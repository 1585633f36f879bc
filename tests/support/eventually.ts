/**
 * Asks `probe` again and again until it gives something else than undefined or false; rejects with `what` and the last
 * error in `timeoutMs`. For conditions that no event tells.
 */
export async function eventually<T>(
  what: string,
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  options: { timeoutMs?: number; everyMs?: number } = {},
): Promise<T> {
  const { timeoutMs = 20_000, everyMs = 25 } = options;
  const deadline = performance.now() + timeoutMs;
  let last: unknown;
  while (performance.now() < deadline) {
    try {
      const found = await probe();
      if (found !== undefined && found !== false) return found;
      last = undefined;
    } catch (error) {
      last = error;
    }
    await Bun.sleep(everyMs);
  }
  throw new RangeError(`not in ${timeoutMs} ms: ${what}`, { cause: last });
}
