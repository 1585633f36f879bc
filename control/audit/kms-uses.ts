import type { KmsEvent } from "#lib/kms";
import type { Statement } from "#lib/runtime";

const minuteMs = 60_000;

/** Counts one use of a key in its minute: written before the key is taken out, so that no use goes without its record. */
export function countKmsUse({ operation, name, use }: KmsEvent, nowMs: number): Statement {
  const detail = Object.values(use?.detail ?? {}).map(String);
  const purpose = use === undefined ? "" : [use.purpose, use.subject, ...detail].join(" ");
  return {
    sql: `INSERT INTO kms_uses (minute, operation, key, purpose, count) VALUES (?, ?, ?, ?, 1)
      ON CONFLICT (minute, operation, key, purpose) DO UPDATE SET count = count + 1`,
    params: [nowMs - (nowMs % minuteMs), operation, name, purpose],
  };
}
