import { z } from "zod";
import type { FaultCode } from "#lib/fault";
import { timeSchema } from "#lib/session";
import { type Attributes, attributesSchema, isReservedAttribute } from "#lib/statement";
import type { LicenceRow } from "./repo.ts";

/** Attributes that a licence's own fields make: no other attribute may have their names. */
const licenceAttributeNames = new Set(["tier", "capabilities", "rate_limit_rpm", "backend_access"]);

/** Attributes that people enter for a licence or an agent: those that Solaris or the licence sets are refused by name. */
export const enteredAttributesSchema = attributesSchema.superRefine((attributes, context) => {
  for (const name of Object.keys(attributes))
    if (isReservedAttribute(name) || licenceAttributeNames.has(name.toLowerCase()))
      context.addIssue({ code: "custom", path: [name], message: "this name is reserved" });
});

const word = z.string().regex(/^[A-Za-z0-9_.:-]{1,64}$/, "1 to 64 of A-Z a-z 0-9 _ . : -");

export const licenceFields = {
  name: z.string().min(1).max(200),
  tier: word,
  capabilities: z.array(word).max(64).default([]),
  rateLimitRpm: z
    .int()
    .min(1)
    .max(10_000_000)
    .default(600)
    .meta({ description: "Requests, stream opens and messages a minute." }),
  backendAccess: z
    .array(z.union([z.literal("*"), word]))
    .max(64)
    .default(["*"])
    .meta({
      description:
        "Portals, by their names, whose outlets its nodes serve; `*` = all. A node refuses connections to any other, from the next issue of its credential on.",
    }),
  attributes: enteredAttributesSchema.default({}),
  validFrom: timeSchema.optional().meta({ description: "Default: now." }),
  validUntil: timeSchema.nullable().default(null),
};

type LicenceState = Pick<LicenceRow, "suspendedAt" | "validFrom" | "validUntil">;

/** Why nothing may run under this licence at `nowMs`; undefined when it may. */
export function licenceProblem(
  licence: LicenceState,
  nowMs: number,
): (FaultCode & ("suspended" | "licence_expired")) | undefined {
  if (licence.suspendedAt !== null) return "suspended";
  if (nowMs < licence.validFrom) return "licence_expired";
  if (licence.validUntil !== null && nowMs >= licence.validUntil) return "licence_expired";
  return undefined;
}

/** What a credential says of the licence. */
export function licenceAttributes(
  licence: Pick<LicenceRow, "tier" | "capabilities" | "rateLimitRpm" | "backendAccess" | "attributes">,
): Attributes {
  return {
    ...licence.attributes,
    tier: licence.tier,
    capabilities: licence.capabilities,
    rate_limit_rpm: licence.rateLimitRpm,
    backend_access: licence.backendAccess,
  };
}
