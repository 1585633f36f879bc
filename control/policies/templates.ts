import { z } from "zod";
import { Fault } from "#lib/fault";
import { policyListMax } from "#lib/limits";
import type { PolicyRule } from "#lib/policy";
import { identifierSchema } from "#lib/session";
import { agentRoles } from "../agents/tables.ts";
import { parseOrInvalid } from "../api/index.ts";
import { licenceFields } from "../customers/rules.ts";

interface Template {
  readonly title: string;
  readonly description: string;
  readonly parameters: z.ZodType;
  /** CEL of parameters that fit the schema. */
  readonly allow: (parameters: unknown) => string;
}

const template = <Schema extends z.ZodType>(
  title: string,
  description: string,
  parameters: Schema,
  allow: (parameters: z.infer<Schema>) => string,
): Template => ({
  title,
  description,
  parameters,
  allow: (given) => allow(parameters.parse(given) as z.infer<Schema>),
}); // what parse answers

const words = z.array(licenceFields.tier).min(1).max(policyListMax);
/** Texts of these schemas are written in CEL as in JSON. */
const list = (texts: readonly string[]) => `[${texts.map((text) => JSON.stringify(text)).join(", ")}]`;

/** Ready-made policies by name. */
const templates: Readonly<Record<string, Template>> = {
  "same-customer": template(
    "Same customer",
    "Every node of the customer. Nodes of others never get as far as a policy.",
    z.strictObject({}),
    () => "subject.customer_id == resource.customer_id",
  ),
  role: template(
    "Role",
    "Nodes that have one of these roles.",
    z.strictObject({ roles: z.array(z.enum(agentRoles)).min(1) }),
    ({ roles }) => `subject.role in ${list(roles)}`,
  ),
  tier: template(
    "Tier",
    "Nodes whose licence has one of these tiers.",
    z.strictObject({ tiers: words }),
    ({ tiers }) => `subject.tier in ${list(tiers)}`,
  ),
  capability: template(
    "Capability",
    "Nodes whose licence has all of these capabilities, or any of them.",
    z.strictObject({ capabilities: words.max(16), need: z.enum(["all", "any"]).default("all") }),
    ({ capabilities, need }) =>
      capabilities
        .map((capability) => `${JSON.stringify(capability)} in subject.capabilities`)
        .join(need === "all" ? " && " : " || "),
  ),
  identifiers: template(
    "List of identifiers",
    "These nodes alone.",
    z.strictObject({ identifiers: z.array(identifierSchema).min(1).max(policyListMax) }),
    ({ identifiers }) => `subject.identifier in ${list(identifiers)}`,
  ),
};

/** What can be made of parameters; each with the JSON Schema that a form is made of. */
export const templateList = () =>
  Object.entries(templates).map(([name, { title, description, parameters }]) => ({
    name,
    title,
    description,
    parameters: z.toJSONSchema(parameters, { io: "input" }) as Record<string, unknown>, // a JSON Schema is an object
  }));

/** The rules of a ready-made policy. Faults: `not_found`, `invalid` at the parameter. */
export function rulesOfTemplate(name: string, parameters: unknown): PolicyRule[] {
  const known = Object.hasOwn(templates, name) ? templates[name] : undefined;
  if (known === undefined) throw new Fault("not_found");
  return [{ name, allow: known.allow(parseOrInvalid(known.parameters, parameters, "parameters")) }];
}
