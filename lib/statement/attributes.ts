import { z } from "zod";
import { attributeLengthMax, attributesMax } from "#lib/limits";

/** One attribute of a credential: what policies compare (PROTOCOL §3, §10). */
export type AttributeValue = string | number | boolean | readonly string[];
/** Attributes by name. Visible to peers: no secret is one. */
export type Attributes = Readonly<Record<string, AttributeValue>>;

/** Roles of nodes. `nexus` is a replica of the tunnel gateway, `gateway` a Mercury beside a backend. */
export const roles = ["edge", "gateway", "service", "nexus"] as const;
export type Role = (typeof roles)[number];

const reserved = new Set(["role", "customer_id", "agent_id", "gateway_id", "identifier"]);

/**
 * Whether an attribute of this name is Solaris' own to set, or what policies call something that is no attribute, in any
 * spelling of case: refused in a licence or an agent when it is entered.
 */
export function isReservedAttribute(name: string): boolean {
  return reserved.has(name.toLowerCase());
}

const text = z.string().max(attributeLengthMax);

/** Name of an attribute: an identifier of CEL that begins with a letter, at most 64 characters. */
export const attributeNameSchema = z.string().regex(/^[A-Za-z][A-Za-z0-9_]{0,63}$/);

/** Value of an attribute: texts of at most 512 characters, at most 64 of them in a list. */
export const attributeValueSchema = z.union([text, z.number(), z.boolean(), z.array(text).max(attributesMax)]);

/** Up to 64 attributes. */
export const attributesSchema = z
  .record(attributeNameSchema, attributeValueSchema)
  .refine((attributes) => Object.keys(attributes).length <= attributesMax, { message: `at most ${attributesMax}` });
