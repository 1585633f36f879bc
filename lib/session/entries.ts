/** What one broker entry holds: a batch of messages of one lane, as deterministic CBOR (DESIGN §4, PROTOCOL §8). */

import { z } from "zod";
import { type Bytes, type CborValue, decodeCbor, encodeCbor } from "#lib/bytes";
import { Fault } from "#lib/fault";
import { batchMessagesMax, carriedBodyBytesMax } from "#lib/limits";
import {
  bytesSchema,
  codeSchema,
  idSchema,
  laneNameSchema,
  nameSchema,
  numberSchema,
  reasonSchema,
  timeSchema,
} from "./fields.ts";

/** Plain at most 1 MiB: whoever hands one in is held to it; sealed (its content type says so) 16/9 of that. */
const body = bytesSchema(carriedBodyBytesMax);
const contentType = z.string().max(200);

/** One message from cloud to site. */
export const downMessageSchema = z.strictObject({
  id: idSchema,
  /** When Solaris took it. */
  time: timeSchema,
  contentType: contentType.optional(),
  /** Order per key is for later; stored and unused. */
  key: z.string().max(256).optional(),
  /** Id of the message this one replays: plugins see that id as `Idempotency-Key`. */
  replays: idSchema.optional(),
  body,
});

/** Messages from cloud to site. `agent` and `plugin` must be those of the lane it is found in. */
export const downEntrySchema = z.strictObject({
  v: z.literal(1),
  agent: nameSchema,
  plugin: nameSchema,
  messages: z.array(downMessageSchema).min(1).max(batchMessagesMax),
});

/**
 * One numbered message from site to cloud. `data` came from a system; `dead` and `unknown` carry a down
 * message whole (`about` = its id, `position` = its place); `settled` says what became of an unknown one
 * (`code`: `applied` or `dead`); `report`, `answer` and `warning` belong to the node's own lane.
 */
export const upMessageSchema = z.strictObject({
  kind: z.enum(["data", "dead", "unknown", "settled", "report", "answer", "warning"]),
  id: idSchema,
  /** When it was stored at the site. */
  time: timeSchema,
  contentType: contentType.optional(),
  about: idSchema.optional(),
  position: numberSchema.optional(),
  code: codeSchema.optional(),
  reason: reasonSchema.optional(),
  tries: numberSchema.optional(),
  body,
});

/** Positions (`seq * 1024 + index`) of a down lane through which messages are stored at the site, and applied. */
export const laneStatusSchema = z.strictObject({
  created: z.string().max(64),
  stored: numberSchema,
  applied: numberSchema,
  at: timeSchema,
  /** Why the lane stands still, if it does. */
  waiting: reasonSchema.optional(),
});

/** Messages from site to cloud: numbers `first` … `first + messages.length - 1` of `generation`. May hold a status alone. */
export const upEntrySchema = z.strictObject({
  v: z.literal(1),
  plugin: laneNameSchema,
  generation: numberSchema,
  first: numberSchema,
  status: laneStatusSchema.optional(),
  messages: z.array(upMessageSchema).max(batchMessagesMax),
});

export type DownMessage = z.infer<typeof downMessageSchema>;
export type DownEntry = z.infer<typeof downEntrySchema>;
export type UpMessage = z.infer<typeof upMessageSchema>;
export type LaneStatus = z.infer<typeof laneStatusSchema>;
export type UpEntry = z.infer<typeof upEntrySchema>;

/** CBOR of an entry that fits its schema; anything else is a bug here (TypeError). */
export function encodeEntry(entry: DownEntry | UpEntry): Bytes {
  return encodeCbor(defined(entry));
}

/** The entry of these bytes. Fault `malformed` when they are no CBOR, `invalid` when it does not fit. */
export function decodeDownEntry(bytes: Uint8Array): DownEntry {
  return decode(bytes, downEntrySchema);
}

/** The entry of these bytes. Fault `malformed` when they are no CBOR, `invalid` when it does not fit. */
export function decodeUpEntry(bytes: Uint8Array): UpEntry {
  return decode(bytes, upEntrySchema);
}

function decode<T>(bytes: Uint8Array, schema: z.ZodType<T>): T {
  let value: unknown;
  try {
    value = decodeCbor(bytes);
  } catch (cause) {
    throw new Fault("malformed", "not deterministic CBOR", { cause });
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw new Fault("invalid", z.prettifyError(parsed.error).slice(0, 300));
  return parsed.data;
}

/** CBOR has no undefined: optional fields that are not there are left out. */
function defined(value: unknown): CborValue {
  if (Array.isArray(value)) return value.map(defined);
  if (value === null || typeof value !== "object" || value instanceof Uint8Array) return value as CborValue; // the schema allows nothing else
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, item]) => (item === undefined ? [] : [[name, defined(item)]])),
  );
}
