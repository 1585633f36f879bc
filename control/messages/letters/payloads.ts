import { z } from "zod";
import { Fault } from "#lib/fault";
import { nameSchema } from "#lib/session";
import { actorOf, type Principal } from "../../access/principal.ts";
import { pageQuery, type SliceDeps } from "../../api/index.ts";

/** Whose rows, page by page. */
export const letterListQuery = pageQuery.extend({
  after: z.coerce.number().int().min(0).optional(),
  customerId: nameSchema.optional(),
  agentId: nameSchema.optional(),
  plugin: nameSchema.optional(),
});

/** What an audit entry tells of a row with a payload. */
export interface LetterPlace {
  readonly id: number;
  readonly agentId: string | null;
  readonly customerId: string | null;
  readonly plugin: string | null;
  readonly message: string | null;
}

/** An act on a row with a payload, as the audit log has it. */
export const letterEvent = (
  by: Principal,
  { id, agentId, customerId, plugin, message }: LetterPlace,
  action: string,
) => ({
  actor: actorOf(by),
  action,
  subject: agentId ?? "unknown",
  ...(customerId === null ? {} : { customerId }),
  detail: { id, plugin, message },
});

/** Who looked at a payload is recorded before it is shown. */
export const recordLook = (audit: SliceDeps["audit"], by: Principal, row: LetterPlace, action: string) =>
  audit.record(letterEvent(by, row, action));

/** Never rendered, never cached, whatever the bytes are. */
export const payload = (bytes: Uint8Array<ArrayBuffer>) =>
  new Response(bytes, {
    headers: {
      "content-type": "application/octet-stream",
      "content-disposition": "attachment",
      "x-content-type-options": "nosniff",
      "cache-control": "no-store",
    },
  });

/** The number in a path; what is none names nothing. */
export function numberOf(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new Fault("not_found");
  return Number(text);
}
