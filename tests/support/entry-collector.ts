import type { Broker, Entry, OpenOptions, OpenSource, Source } from "#lib/broker";
import { fromUtf8 } from "#lib/bytes";
import type { Fault } from "#lib/fault";
import { eventually } from "./eventually.ts";

/** An opened source that keeps what it is given. */
export interface Collector {
  readonly source: OpenSource;
  readonly entries: readonly Entry[];
  /** Texts of the entries, in the order in which they came. */
  readonly texts: () => string[];
  readonly ended: () => Fault | undefined;
  /** Resolves when `count` entries are here. */
  reached(count: number): Promise<void>;
}

/** Opens `from` and collects. */
export async function collect(
  broker: Broker,
  from: Source,
  options: Partial<Omit<OpenOptions, "onEntry">> & { confirmAll?: boolean } = {},
): Promise<Collector> {
  const entries: Entry[] = [];
  let fault: Fault | undefined;
  let opened: OpenSource | undefined;
  const source = await broker.open(from, {
    ...options,
    onEntry(entry) {
      entries.push(entry);
      if (options.confirmAll) queueMicrotask(() => opened?.confirm(entry.seq));
    },
    onClosed(reason) {
      fault = reason;
      options.onClosed?.(reason);
    },
  });
  opened = source;
  if (options.confirmAll) source.confirm(entries.at(-1)?.seq ?? 0);
  return {
    source,
    entries,
    texts: () => entries.map((entry) => fromUtf8(entry.bytes)),
    ended: () => fault,
    reached: async (count) => {
      await eventually(`${count} entries, ${entries.length} so far`, () => entries.length >= count, { everyMs: 5 });
    },
  };
}
