/** Messages of the down and up streams of a session: lanes opened with cursors, entries, cumulative confirmations. */

import { z } from "zod";
import { batchMessagesMax, sessionMessageBytesMax } from "#lib/limits";
import { bytesSchema, codeSchema, laneNameSchema, nameSchema, numberSchema, timeSchema } from "./fields.ts";

/**
 * How far a lane has come at its end: creation time of the broker's stream (opaque text; another one means
 * another stream, so the sequence counts from its start) and sequence of the last entry stored.
 */
export const cursorSchema = z.strictObject({ created: z.string().max(64), seq: numberSchema });

const entryBytes = bytesSchema(sessionMessageBytesMax - 1_024);

/** Mercury → Nexus on `down`. */
export const downUpSchema = z.discriminatedUnion("type", [
  /** Opens the lane on this tunnel and no other; null = nothing stored yet. */
  z.strictObject({ type: z.literal("open"), plugin: nameSchema, cursor: cursorSchema.nullable() }),
  z.strictObject({ type: z.literal("close"), plugin: nameSchema }),
  /** All entries through `cursor` are fsynced here. */
  z.strictObject({ type: z.literal("stored"), plugin: nameSchema, cursor: cursorSchema }),
]);

/** Nexus → Mercury on `down`. */
export const downDownSchema = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("opened"), plugin: nameSchema, created: z.string().max(64) }),
  z.strictObject({
    type: z.literal("entry"),
    plugin: nameSchema,
    cursor: cursorSchema,
    time: timeSchema,
    body: entryBytes,
  }),
  /** The broker holds something at `cursor` that can't be forwarded: store a dead letter and go on. */
  z.strictObject({ type: z.literal("unreadable"), plugin: nameSchema, cursor: cursorSchema, code: codeSchema }),
  /** The lane is not open (any more): why. Open again after a back-off when the code may pass. */
  z.strictObject({ type: z.literal("refused"), plugin: nameSchema, code: codeSchema }),
]);

/** Mercury → Nexus on `up`: an entry with `count` numbered messages from `first` on; one in flight per lane. */
export const upUpSchema = z.strictObject({
  type: z.literal("publish"),
  plugin: laneNameSchema,
  generation: numberSchema,
  first: numberSchema,
  count: z.int().min(0).max(batchMessagesMax),
  body: entryBytes,
});

/** Nexus → Mercury on `up`. */
export const upDownSchema = z.discriminatedUnion("type", [
  /** The broker has acknowledged the entry that began at `first`. */
  z.strictObject({
    type: z.literal("published"),
    plugin: laneNameSchema,
    generation: numberSchema,
    first: numberSchema,
    count: z.int().min(0).max(batchMessagesMax),
  }),
  z.strictObject({
    type: z.literal("refused"),
    plugin: laneNameSchema,
    generation: numberSchema,
    first: numberSchema,
    code: codeSchema,
    retryAfterMs: numberSchema,
  }),
]);

export type Cursor = z.infer<typeof cursorSchema>;
export type DownUp = z.infer<typeof downUpSchema>;
export type DownDown = z.infer<typeof downDownSchema>;
export type UpUp = z.infer<typeof upUpSchema>;
export type UpDown = z.infer<typeof upDownSchema>;
