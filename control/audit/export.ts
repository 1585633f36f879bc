import { z } from "zod";
import { fromHex, hex } from "#lib/bytes";
import { numberSchema, timeSchema } from "#lib/session";
import type { AuditEntry } from "./rules.ts";

/** One line of an exported log (NDJSON): an entry as it is hashed, or a checkpoint, or the authority's chain. */
export const exportLineSchema = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("authority"), chain: z.string() }),
  z.strictObject({
    kind: z.literal("entry"),
    number: numberSchema,
    time: timeSchema,
    actor: z.string(),
    action: z.string(),
    subject: z.string().nullable(),
    customerId: z.string().nullable(),
    detail: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])),
    previous: z.string(),
    hash: z.string(),
  }),
  z.strictObject({ kind: z.literal("checkpoint"), number: numberSchema, time: timeSchema, statement: z.string() }),
]);
export type ExportLine = z.infer<typeof exportLineSchema>;

export function entryLine(entry: AuditEntry): ExportLine {
  return { kind: "entry", ...entry, detail: { ...entry.detail }, previous: hex(entry.previous), hash: hex(entry.hash) };
}

/** The entry of a line; hashes that are no hexadecimal become empty, which then fit nothing. */
export function entryOfLine({ kind: _, ...line }: Extract<ExportLine, { kind: "entry" }>): AuditEntry {
  return {
    ...line,
    previous: fromHex(line.previous) ?? new Uint8Array(),
    hash: fromHex(line.hash) ?? new Uint8Array(),
  };
}
