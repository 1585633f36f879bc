import { fromUtf8 } from "#lib/bytes";
import type { Clock } from "#lib/clock";
import { Fault } from "#lib/fault";
import type { Statement } from "#lib/runtime";
import { type DesiredReport, desiredReportSchema, type UpMessage } from "#lib/session";
import { asStatement, type Db } from "../db/index.ts";
import { putReport } from "./repo.ts";

/** What a node says of its desired state, as the statement that keeps it. Fault `invalid` when it is no such report. */
export function takeReport(
  deps: { readonly db: Db; readonly clock: Clock },
  agentId: string,
  message: UpMessage,
): Statement {
  const { number, skipped = null, items } = parseReport(message.body);
  return asStatement(putReport(deps.db, { agentId, number, skipped, items, at: deps.clock.now() }));
}

function parseReport(body: Uint8Array): DesiredReport {
  let value: unknown;
  try {
    value = JSON.parse(fromUtf8(body));
  } catch (cause) {
    throw new Fault("invalid", "a report that is not JSON", { cause });
  }
  const parsed = desiredReportSchema.safeParse(value);
  if (!parsed.success) throw new Fault("invalid", "a report that does not fit its schema", { cause: parsed.error });
  return parsed.data;
}
