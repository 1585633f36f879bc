import { z } from "zod";
import { idempotencyKeyLifeMs } from "#lib/limits";

const dayMs = 86_400_000;
const life = (days: number, minMs: number, description: string) =>
  z
    .int()
    .min(minMs)
    .max(3_650 * dayMs)
    .default(days * dayMs)
    .meta({ description: `${description} Default ${days} days, in ms.` });

/** How long what is kept. Nothing that waits to be delivered is ever purged. */
export const retentionSchema = z
  .strictObject({
    messagesMs: life(
      30,
      idempotencyKeyLifeMs,
      "Ids and states of pushed messages, and so their idempotency keys (at least 24 h).",
    ),
    receivedMs: life(30, 3_600_000, "Received messages with their payloads."),
    deadLettersMs: life(90, dayMs, "Dead letters with their payloads."),
    quarantineMs: life(30, 3_600_000, "What came up and was not taken, with payloads."),
    commandsMs: life(30, 3_600_000, "Commands and their answers."),
    historyMs: life(365, dayMs, "Versions of plugins and desired states that are no longer the newest."),
    attemptsMs: life(90, dayMs, "Authentication attempts, refusals and agents' events."),
    progressMs: life(7, 3_600_000, "When a site stored and applied messages."),
  })
  .meta({ ref: "Retention" });

export type Retention = z.infer<typeof retentionSchema>;

/** The lifetimes that count without a setting. */
export const defaultRetention: Retention = retentionSchema.parse({});
