import { z } from "zod";

const directory = z
  .string()
  .min(1)
  .max(1_000)
  .regex(/^([/\\]|[A-Za-z]:[/\\])/, "an absolute path");

/** `file`: writes each message as a file, atomically; picks whole files up from a directory, once. */
export const fileConfigSchema = z.strictObject({
  down: z
    .strictObject({
      directory,
      /** `{id}` (the id stable over retries and replays) must stand in it: that is what makes a repeat harmless. */
      name: z
        .string()
        .max(200)
        .regex(/^[^/\\]*\{id\}[^/\\]*$/, "a file name with {id} in it")
        .default("{id}.json"),
    })
    .optional(),
  up: z
    .strictObject({
      directory,
      pattern: z.string().min(1).max(200).default("*"),
      /** A file counts as whole when its size and time did not change for this long; an empty one, for 5 s at least. */
      settleMs: z.int().min(50).max(600_000).default(1_000),
      after: z.enum(["delete", "archive"]).default("archive"),
    })
    .optional(),
});

export type FileConfig = z.infer<typeof fileConfigSchema>;
