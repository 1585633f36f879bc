import { z } from "zod";
import { nameSchema, numberSchema, timeSchema } from "#lib/session";
import { customerToList } from "../access/principal.ts";
import {
  body,
  etag,
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
import { type LicenceRow, listCustomers, listLicences } from "./repo.ts";
import { licenceFields, licenceProblem } from "./rules.ts";
import {
  changeCustomer,
  changeLicence,
  createCustomer,
  createLicence,
  findCustomer,
  findLicence,
  suspendLicence,
} from "./service.ts";

const customerSchema = z
  .object({ id: nameSchema, name: z.string(), note: z.string(), createdAt: timeSchema, version: numberSchema })
  .meta({ ref: "Customer" });

const newCustomerSchema = z.strictObject({ name: z.string().min(1).max(200), note: z.string().max(2_000).default("") });
const customerChangeSchema = z.strictObject({
  name: z.string().min(1).max(200).optional(),
  note: z.string().max(2_000).optional(),
});

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

/** `/customers` and `/licences`. */
export function customerRoutes(deps: SliceDeps) {
  const { clock } = deps;
  const tag = "Customers";
  const licenceTag = "Licences";

  /** Without the key, its hash, its sealed form. */
  const show = ({ key: _key, keyHash: _hash, ...row }: LicenceRow) => ({
    ...row,
    state: licenceProblem(row, clock.now()) ?? ("valid" as const),
  });

  return newRouter()
    .post(
      "/customers",
      operation({
        tag,
        summary: "Create a customer",
        once: true,
        scope: "customers:write",
        answers: { 201: customerSchema },
        faults: ["invalid"],
      }),
      body(newCustomerSchema),
      async (context) => {
        const made = await once<z.infer<typeof customerSchema>>(deps, context, (keep) =>
          createCustomer(deps, principalOf(context), context.req.valid("json"), keep),
        );
        return context.json(made, 201);
      },
    )
    .get(
      "/customers",
      operation({ tag, summary: "List customers", scope: "customers:read", answers: { 200: pageOf(customerSchema) } }),
      query(pageQuery),
      async (context) => {
        const { limit, after } = context.req.valid("query");
        const rows = await listCustomers(deps.db, customerToList(principalOf(context), undefined), after, limit + 1);
        return context.json(
          toPage(
            rows,
            limit,
            ({ id }) => id,
            (row) => row,
          ),
        );
      },
    )
    .get(
      "/customers/:id",
      operation({
        tag,
        summary: "Get a customer",
        scope: "customers:read",
        answers: { 200: customerSchema },
        faults: ["not_found"],
      }),
      idParam("id"),
      async (context) => {
        const row = await findCustomer(deps, principalOf(context), context.req.valid("param").id);
        return etag(context, row.version) ?? context.json(row);
      },
    )
    .patch(
      "/customers/:id",
      operation({
        tag,
        summary: "Change a customer",
        scope: "customers:write",
        answers: { 200: customerSchema },
        faults: ["not_found", "invalid", "conflict"],
      }),
      idParam("id"),
      body(customerChangeSchema),
      async (context) => {
        const change = { ...context.req.valid("json"), version: ifMatch(context) };
        return context.json(await changeCustomer(deps, principalOf(context), context.req.valid("param").id, change));
      },
    )
    .post(
      "/customers/:id/licences",
      operation({
        tag: licenceTag,
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
        tag: licenceTag,
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
        tag: licenceTag,
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
        tag: licenceTag,
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
        tag: licenceTag,
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
        tag: licenceTag,
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
