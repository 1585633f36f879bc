import { z } from "zod";

/** `noop`: takes everything, and makes messages of its own. For tests and benchmarks; no real agent runs it. */
export const noopConfigSchema = z.strictObject({
  down: z
    .strictObject({
      /** How long each delivery takes. */
      delayMs: z.int().min(0).max(60_000).default(0),
    })
    .optional(),
  up: z
    .strictObject({
      /** Messages in all, over restarts. */
      messages: z.int().min(1).max(100_000_000),
      bodyBytes: z.int().min(8).max(65_536).default(1_024),
      /** Messages a second; 0 = as fast as they are stored. */
      perSecond: z.int().min(0).max(1_000_000).default(0),
      batch: z.int().min(1).max(512).default(100),
    })
    .optional(),
});

export type NoopConfig = z.infer<typeof noopConfigSchema>;
