/** How far the site has come in the lane's present stream; undefined = it has not said. */
export interface SiteWatermark {
  readonly stored: number;
  readonly applied: number;
}

export const messageStates = ["queued", "stored", "applied", "unknown", "dead"] as const;

/** What became of a message: on its way, fsynced at the site, acknowledged by its plugin, or an exception that a letter told. */
export type MessageState = (typeof messageStates)[number];

/** What a letter or a person said; it stands above any watermark. */
export type Outcome = Extract<MessageState, "applied" | "unknown" | "dead">;

/**
 * The state is never stored per message: it follows from the watermarks of the site, so a report is one row whatever it
 * covers, and it may come before this side knows the message's position.
 */
export function stateOf(
  message: { readonly outcome: Outcome | null; readonly position: number | null },
  site: SiteWatermark | undefined,
): MessageState {
  if (message.outcome !== null) return message.outcome;
  if (message.position === null || site === undefined) return "queued";
  if (message.position <= site.applied) return "applied";
  return message.position <= site.stored ? "stored" : "queued";
}

/** Whether nothing more happens to it by itself. */
export const isFinal = (state: MessageState) => state === "applied" || state === "dead" || state === "unknown";
