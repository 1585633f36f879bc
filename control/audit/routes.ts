import { z } from "zod";
import { base64url, hex, utf8 } from "#lib/bytes";
import { nameSchema, numberSchema, timeSchema } from "#lib/session";
import { customerToList } from "../access/principal.ts";
import { newRouter, operation, pageOf, pageQuery, principalOf, query, type SliceDeps, toPage } from "../api/index.ts";
import { type ExportLine, entryLine } from "./export.ts";
import { entriesAfter, listCheckpoints, listEntries } from "./repo.ts";
import type { AuditEntry } from "./rules.ts";

const entrySchema = z
  .object({
    number: numberSchema,
    time: timeSchema,
    actor: z.string(),
    action: z.string(),
    subject: z.string().nullable(),
    customerId: z.string().nullable(),
    detail: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])),
    hash: z.string(),
  })
  .meta({ ref: "AuditEntry" });

const exportPage = 500;

export interface AuditRouteDeps extends Pick<SliceDeps, "db"> {
  /** The authority's encoded chain, for whoever verifies an export. */
  readonly authorityChain: () => Uint8Array;
}

/** `/audit`: the log, its checkpoints, and all of it as NDJSON for `solaris audit verify`. */
export function auditRoutes(deps: AuditRouteDeps) {
  const tag = "Audit";
  return newRouter()
    .get(
      "/audit",
      operation({
        tag,
        summary: "Read the audit log, newest first",
        scope: "audit:read",
        answers: { 200: pageOf(entrySchema) },
      }),
      query(
        pageQuery.extend({
          customerId: nameSchema.optional(),
          subject: z.string().max(80).optional(),
          action: z.string().max(80).optional(),
        }),
      ),
      async (context) => {
        const { limit, after, customerId: asked, subject, action } = context.req.valid("query");
        const customerId = customerToList(principalOf(context), asked);
        const before = after === undefined ? undefined : Number(after);
        const rows = await listEntries(deps.db, { customerId, subject, action, before }, limit + 1);
        return context.json(toPage(rows, limit, ({ number }) => String(number), show));
      },
    )
    .get(
      "/audit/export",
      operation({
        tag,
        summary: "The whole log as NDJSON",
        description: "`solaris audit verify --file` checks it without a network. Only for keys of the platform.",
        scope: "*",
        answers: { 200: null },
      }),
      () => new Response(exportStream(deps), { headers: { "content-type": "application/x-ndjson" } }),
    );
}

const show = ({ previous: _, hash, detail, ...entry }: AuditEntry) => ({
  ...entry,
  detail: { ...detail },
  hash: hex(hash),
});

/** All lines of an export, as they are read. */
export async function* exportLines({ db, authorityChain }: AuditRouteDeps): AsyncGenerator<ExportLine> {
  yield { kind: "authority", chain: base64url(authorityChain()) };
  for (let number = 0; ; ) {
    const rows = await entriesAfter(db, number, exportPage);
    for (const row of rows) yield entryLine(row);
    const last = rows.at(-1);
    if (last === undefined) break;
    number = last.number;
  }
  for (const checkpoint of await listCheckpoints(db)) yield { kind: "checkpoint", ...checkpoint };
}

function exportStream(deps: AuditRouteDeps): ReadableStream<Uint8Array> {
  const lines = exportLines(deps);
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await lines.next();
      if (done) controller.close();
      else controller.enqueue(utf8(`${JSON.stringify(value)}\n`));
    },
    async cancel() {
      await lines.return(undefined);
    },
  });
}
