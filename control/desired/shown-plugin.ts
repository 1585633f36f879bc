import { z } from "zod";
import { desiredPluginSchema, nameSchema, numberSchema, timeSchema } from "#lib/session";
import type { DesiredReportItem, PluginRow } from "./repo.ts";
import { connectorOf, sealingSchema } from "./rules.ts";
import type { SealSettings } from "./tables.ts";

/** A configuration as it is shown: secrets masked. */
export const shownConfigSchema = z.record(z.string(), z.unknown());
const actualSchema = z.object({
  version: numberSchema.meta({ description: "What runs; 0 = nothing." }),
  wanted: numberSchema,
  state: z.enum(["applied", "failed", "removed", "disabled"]),
  code: z.string().nullable(),
  reason: z.string().nullable(),
  reportedAt: timeSchema,
});

/** A plugin as the API shows it. */
export const pluginSchema = z
  .object({
    agentId: nameSchema,
    name: nameSchema,
    version: numberSchema,
    type: nameSchema,
    enabled: z.boolean(),
    config: shownConfigSchema.meta({ description: "Every secret masked: they are write-only." }),
    lane: desiredPluginSchema.shape.lane,
    receiveSchema: z.unknown(),
    sealed: z.boolean(),
    sealing: sealingSchema.nullable().meta({ description: "Null when it is not sealed." }),
    once: z
      .enum(["exactly-once", "at-least-once"])
      .meta({ description: "What this configuration promises of a repeat." }),
    updatedAt: timeSchema,
    updatedBy: z.string(),
    actual: actualSchema.nullable().meta({ description: "What the node says; null = it has not yet." }),
    inSync: z.boolean(),
  })
  .meta({ ref: "Plugin" });

/** The newest version of a plugin beside what its node says of it. */
export function showPlugin(row: PluginRow, item: (DesiredReportItem & { reportedAt: number }) | undefined) {
  const { customerId: _customer, deletedAt: _deleted, shown, receiveSchema = null, sealing = null, ...plugin } = row;
  const actual =
    item === undefined
      ? null
      : {
          version: item.actual,
          wanted: item.wanted,
          state: item.state,
          code: item.code ?? null,
          reason: item.reason ?? null,
          reportedAt: item.reportedAt,
        };
  const inSync =
    actual !== null && actual.wanted === row.version && (actual.state === "applied" || actual.state === "disabled");
  return {
    ...plugin,
    config: shown,
    receiveSchema,
    ...shownSealing(sealing),
    once: connectorOf(row.type).once(shown),
    actual,
    inSync,
  };
}

/** The switch and its settings as they were given. */
export const shownSealing = (sealing: SealSettings | null) => ({
  sealed: sealing !== null,
  sealing: sealing === null ? null : { senders: [...sealing.senders], consumer: sealing.consumer },
});
