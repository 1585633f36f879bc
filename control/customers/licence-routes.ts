import { z } from "zod";
import { nameSchema, numberSchema, timeSchema } from "#lib/session";
import { customerToList } from "../access/principal.ts";
import {
  body,
  idParam,
  ifMatch,
  newRouter,
  once,
  operation,
  pageOf,
  pageQuery,
  principalOf,
  query,
  type SliceDeps,
  toPage,
} from "../api/index.ts";
import { type LicenceRow, listLicences } from "./repo.ts";
import { licenceFields, licenceProblem } from "./rules.ts";
import { changeLicence, createLicence, findLicence, suspendLicence } from "./service.ts";

const licenceSchema = z
  .object({
    ...licenceFields,
    id: nameSchema,
    customerId: nameSchema,
    validFrom: timeSchema,
    state: z.enum(["valid", "suspended", "licence_expired"]),
    suspendedAt: timeSchema.nullable(),
    suspendedReason: z.string().nullable(),
    createdAt: timeSchema,
    version: numberSchema,
  })
  .meta({ ref: "Licence" });
const madeLicenceSchema = z.object({
  licence: licenceSchema,
  key: z.string().meta({ description: "Shown this once." }),
});
const newLicenceSchema = z.strictObject(licenceFields);
const { attributes, backendAccess, capabilities, name, rateLimitRpm, tier, validFrom, validUntil } = licenceFields;
const licenceChangeSchema = z.strictObject({
  name: name.optional(),
  tier: tier.optional(),
  capabilities: capabilities.unwrap().optional(),
  rateLimitRpm: rateLimitRpm.unwrap().optional(),
  backendAccess: backendAccess.unwrap().optional(),
  attributes: attributes.unwrap().optional(),
  validFrom,
  validUntil: validUntil.unwrap().optional(),
});

/** `/licences`, and `/customers/{id}/licences`. */
export function licenceRoutes(deps: SliceDeps) {
  const { clock } = deps;
  const tag = "Licences";

  /** Without the key, its hash, its sealed form. */
  const show = ({ key: _key, keyHash: _hash, ...row }: LicenceRow) => ({
    ...row,
    state: licenceProblem(row, clock.now()) ?? ("valid" as const),
  });

  return newRouter()
    .post(
      "/customers/:id/licences",
      operation({
        tag,
        summary: "Create a licence",
        once: true,
        scope: "licences:write",
        answers: { 201: madeLicenceSchema },
        faults: ["not_found", "invalid"],
      }),
      idParam("id"),
      body(newLicenceSchema),
      async (context) => {
        const { id } = context.req.valid("param");
        const made = await once<{ licence: ReturnType<typeof show>; key: string }>(deps, context, (keep) =>
          createLicence(deps, principalOf(context), id, context.req.valid("json"), ({ licence, key }) =>
            keep({ licence: show(licence), key }),
          ),
        );
        return context.json(made, 201);
      },
    )
    .get(
      "/licences",
      operation({
        tag,
        summary: "List licences",
        scope: "licences:read",
        answers: { 200: pageOf(licenceSchema) },
      }),
      query(pageQuery.extend({ customerId: nameSchema.optional() })),
      async (context) => {
        const { limit, after, customerId } = context.req.valid("query");
        const rows = await listLicences(deps.db, customerToList(principalOf(context), customerId), after, limit + 1);
        return context.json(toPage(rows, limit, ({ id }) => id, show));
      },
    )
    .get(
      "/licences/:id",
      operation({
        tag,
        summary: "Get a licence",
        scope: "licences:read",
        answers: { 200: licenceSchema },
        faults: ["not_found"],
      }),
      idParam("id"),
      async (context) => {
        const row = await findLicence(deps, principalOf(context), context.req.valid("param").id);
        return context.json(show(row));
      },
    )
    .patch(
      "/licences/:id",
      operation({
        tag,
        summary: "Change a licence",
        description:
          "Credentials carry the change from their next issue on; a licence that is out of date ends sessions.",
        scope: "licences:write",
        answers: { 200: licenceSchema },
        faults: ["not_found", "invalid", "conflict"],
      }),
      idParam("id"),
      body(licenceChangeSchema),
      async (context) => {
        const change = { ...context.req.valid("json"), version: ifMatch(context) };
        return context.json(
          show(await changeLicence(deps, principalOf(context), context.req.valid("param").id, change)),
        );
      },
    )
    .post(
      "/licences/:id/suspend",
      operation({
        tag,
        summary: "Suspend a licence",
        description: "Ends its sessions with the code `suspended`. Queued messages wait.",
        scope: "licences:write",
        answers: { 200: licenceSchema },
        faults: ["not_found"],
      }),
      idParam("id"),
      body(z.strictObject({ reason: z.string().min(1).max(500) })),
      async (context) => {
        const { id } = context.req.valid("param");
        return context.json(show(await suspendLicence(deps, principalOf(context), id, context.req.valid("json"))));
      },
    )
    .post(
      "/licences/:id/resume",
      operation({
        tag,
        summary: "End a suspension",
        scope: "licences:write",
        answers: { 200: licenceSchema },
        faults: ["not_found"],
      }),
      idParam("id"),
      async (context) =>
        context.json(show(await suspendLicence(deps, principalOf(context), context.req.valid("param").id, null))),
    );
}
