import type { Clock } from "#lib/clock";

/** What was read, for as long as it counts. */
export interface Remembered<Value> {
  /**
   * The value of `key`: what was found within the last `forMs`, else what `read` finds. Those who ask at the same time share one
   * read, so that a busy key costs one for all its callers. Nothing (undefined) and failures are not remembered.
   */
  get(key: string, read: () => Promise<Value | undefined>): Promise<Value | undefined>;
  forget(key: string): void;
}

/** Remembers at most `max` values for `forMs` each, counted from the beginning of their read. */
export function makeRemembered<Value>(
  clock: Pick<Clock, "monotonic">,
  { forMs, max }: { readonly forMs: number; readonly max: number },
): Remembered<Value> {
  const known = new Map<string, { readonly value: Promise<Value | undefined>; readonly until: number }>();

  async function ask(key: string, read: () => Promise<Value | undefined>): Promise<Value | undefined> {
    const asked = { value: read(), until: clock.monotonic() + forMs };
    if (known.size >= max) known.clear();
    known.set(key, asked);
    const forgotten = () => {
      if (known.get(key) === asked) known.delete(key);
    };
    try {
      const value = await asked.value;
      if (value === undefined) forgotten();
      return value;
    } catch (error) {
      forgotten();
      throw error;
    }
  }

  return {
    async get(key, read) {
      const last = known.get(key);
      if (last !== undefined && last.until > clock.monotonic()) {
        // What was missing when another's read began may be there now: then it is worth a read of one's own.
        const value = await last.value.catch(() => undefined);
        if (value !== undefined) return value;
      }
      return ask(key, read);
    },
    forget: (key) => void known.delete(key),
  };
}
