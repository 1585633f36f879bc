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
import { listCustomers } from "./repo.ts";
import { changeCustomer, createCustomer, findCustomer } from "./service.ts";

const customerSchema = z
  .object({
    id: nameSchema,
    name: z.string(),
    note: z.string(),
    requireE2e: z.boolean(),
    createdAt: timeSchema,
    version: numberSchema,
  })
  .meta({ ref: "Customer" });

const requireE2eSchema = z.boolean().meta({
  description:
    "Whether its portals may be of mode `e2e` alone. The others are refused when they are asked for; those that there are end at their nodes within seconds, and at Nexus.",
});
const newCustomerSchema = z.strictObject({
  name: z.string().min(1).max(200),
  note: z.string().max(2_000).default(""),
  requireE2e: requireE2eSchema.default(false),
});
const customerChangeSchema = z.strictObject({
  name: z.string().min(1).max(200).optional(),
  note: z.string().max(2_000).optional(),
  requireE2e: requireE2eSchema.optional(),
});

/** `/customers`. */
export function customerRoutes(deps: SliceDeps) {
  const tag = "Customers";
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
    );
}
