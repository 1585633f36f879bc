import type { DesiredPlugin } from "#lib/session";
import type { ItemRecord } from "../store/item-store.ts";

/** What is to be done to one plugin. */
export type Step =
  | { readonly act: "stop"; readonly name: string }
  /** Takes the place of what runs under this name, if anything does. */
  | { readonly act: "run"; readonly plugin: DesiredPlugin }
  /** Wanted switched off. */
  | { readonly act: "disable"; readonly plugin: DesiredPlugin };

/**
 * The steps from what runs to what is wanted (PROTOCOL §9): removals first, so that what they held (a port, a directory)
 * is free for what comes. An item that runs as wanted is left alone; one that failed is tried again. Pure.
 */
export function plan(items: readonly ItemRecord[], running: ReadonlyMap<string, DesiredPlugin>): Step[] {
  const wanted = new Map(items.map((item) => [item.name, item.wanted]));
  const stops = [...running.keys()].filter((name) => !wanted.has(name));
  const changes = items.flatMap((item): Step[] => {
    const { wanted: plugin, state } = item;
    if (!plugin.enabled) return state === "disabled" && !running.has(item.name) ? [] : [{ act: "disable", plugin }];
    return same(running.get(item.name), plugin) ? [] : [{ act: "run", plugin }];
  });
  return [...stops.map((name): Step => ({ act: "stop", name })), ...changes];
}

/** At a start nothing runs: each enabled item in its last good form where its newest one failed before. */
export function resumed(item: ItemRecord): DesiredPlugin {
  return item.state === "failed" ? (lastGood(item, item.wanted) ?? item.wanted) : item.wanted;
}

/** The last good form; sealed where the wanted one is: a form that can't run must not open the lane to anyone's messages. */
export function lastGood({ running }: Pick<ItemRecord, "running">, { seal }: DesiredPlugin): DesiredPlugin | null {
  return running === null || seal === undefined ? running : { ...running, seal };
}

function same(a: DesiredPlugin | undefined, b: DesiredPlugin): boolean {
  return a !== undefined && a.version === b.version && JSON.stringify(a) === JSON.stringify(b);
}
