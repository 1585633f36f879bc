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
import type { Db } from "../db/index.ts";
import { reportOf } from "../desired/index.ts";
import { listPolicies, type PolicyRow, usesOf, versionsOfPolicy } from "./repo.ts";
import { rulesSchema, wantedPolicySchema } from "./rules.ts";
import { changePolicy, createPolicy, deletePolicy, findPolicy, type PolicyDeps, rollBackPolicy } from "./service.ts";
import { rulesOfTemplate, templateList } from "./templates.ts";
import { type TryDeps, triedSchema, tryPolicy } from "./try-policy.ts";

const nodeSchema = z.object({
  agentId: nameSchema,
  inSync: z.boolean().meta({ description: "Whether the node judges by this version." }),
  actual: z
    .object({
      version: numberSchema.meta({ description: "What it judges by; 0 = nothing: what names the policy is closed." }),
      wanted: numberSchema,
      state: z.enum(["applied", "failed", "removed", "disabled"]),
      code: z.string().nullable(),
      reason: z.string().nullable(),
      reportedAt: timeSchema,
    })
    .nullable()
    .meta({ description: "What the node says; null = it has not yet." }),
});

const policySchema = z
  .object({
    id: nameSchema,
    customerId: nameSchema,
    name: nameSchema,
    note: z.string(),
    version: numberSchema,
    rules: rulesSchema,
    createdAt: timeSchema,
    createdBy: z.string(),
    updatedAt: timeSchema,
    updatedBy: z.string(),
    portals: z.array(z.object({ id: nameSchema, name: nameSchema })).meta({ description: "Portals that name it." }),
    nodes: z.array(nodeSchema).meta({ description: "Nodes that serve them." }),
  })
  .meta({ ref: "Policy" });

const versionSchema = z
  .object({
    version: numberSchema,
    name: nameSchema,
    note: z.string(),
    rules: rulesSchema,
    restores: numberSchema.nullable(),
    deleted: z.boolean(),
    createdAt: timeSchema,
    createdBy: z.string(),
  })
  .meta({ ref: "PolicyVersion" });

const explanationSchema = z
  .object({
    allowed: z.boolean(),
    decidedBy: z.enum(["isolation", "nodes", "policy"]).meta({
      description:
        "`isolation`: another customer, before any policy. `nodes`: no policy, so the nodes that the portal names.",
    }),
    policy: z.object({ id: nameSchema, name: nameSchema, version: numberSchema }).nullable(),
    rule: z
      .string()
      .nullable()
      .meta({ description: "The one that allowed; denied: the one of which most parts held." }),
    conjunct: z.string().nullable().meta({ description: "The part of it that decided." }),
    attribute: z.string().nullable().meta({ description: "What in it decided: the missing one, if one is missing." }),
    reason: z.string().nullable(),
    rules: z.array(
      z.object({
        name: z.string(),
        allows: z.boolean(),
        conjuncts: z.array(
          z.object({
            text: z.string(),
            outcome: z.enum(["true", "false", "error"]),
            reason: z.string().nullable(),
            attribute: z.string().nullable(),
            attributes: z
              .record(z.string(), z.unknown())
              .meta({ description: "Path → value that was read; null = missing." }),
          }),
        ),
      }),
    ),
  })
  .meta({ ref: "PolicyExplanation" });

const templateSchema = z
  .object({
    name: z.string(),
    title: z.string(),
    description: z.string(),
    parameters: z.record(z.string(), z.unknown()),
  })
  .meta({ ref: "PolicyTemplate" });

/** `/policies`, `/policy-templates`. */
export function policyRoutes(deps: SliceDeps & PolicyDeps & TryDeps) {
  const tag = "Policies";
  const read = { tag, scope: "policies:read" } as const;
  const write = { tag, scope: "policies:write" } as const;
  const showOne = async (row: PolicyRow) => (await show(deps.db, [row]))[0] ?? missing();
  return newRouter()
    .get(
      "/policy-templates",
      operation({
        ...read,
        summary: "List ready-made policies",
        answers: { 200: z.object({ items: z.array(templateSchema) }) },
      }),
      (context) => context.json({ items: templateList() }),
    )
    .post(
      "/policy-templates/:template",
      operation({
        ...read,
        summary: "Make the rules of a ready-made policy",
        description: "Saves nothing: create a policy with the rules of the answer.",
        answers: { 200: z.object({ rules: rulesSchema }) },
        faults: ["not_found", "invalid"],
      }),
      idParam("template"),
      body(z.strictObject({ parameters: z.record(z.string(), z.unknown()).default({}) })),
      (context) => {
        const { parameters } = context.req.valid("json");
        return context.json({ rules: rulesOfTemplate(context.req.valid("param").template, parameters) });
      },
    )
    .post(
      "/policies/test",
      operation({
        ...read,
        summary: "Try a policy",
        description:
          "What a node would decide, and which rule, part and attribute decided. Nodes and portals are given by id, or by what they are. Rules need not be saved.",
        answers: { 200: explanationSchema },
        faults: ["invalid"],
      }),
      body(triedSchema),
      async (context) => {
        const { by, rules, ...told } = await tryPolicy(deps, principalOf(context), context.req.valid("json"));
        const { rule = null, conjunct = null, attribute = null, reason = null } = told;
        return context.json({
          ...told,
          decidedBy: by,
          rule,
          conjunct,
          attribute,
          reason,
          rules: rules.map(({ conjuncts, ...one }) => ({
            ...one,
            conjuncts: conjuncts.map((part) => ({
              ...part,
              reason: part.reason ?? null,
              attribute: part.attribute ?? null,
            })),
          })),
        });
      },
    )
    .post(
      "/policies",
      operation({
        ...write,
        summary: "Create a policy",
        description: "A portal that names it is opened for whom one of its rules allows, and for nobody else.",
        once: true,
        answers: { 201: policySchema },
        faults: ["not_found", "invalid", "conflict"],
      }),
      body(wantedPolicySchema.extend({ customerId: nameSchema })),
      async (context) => {
        const made = await once<z.infer<typeof policySchema>>(deps, context, (keep) =>
          createPolicy(deps, principalOf(context), context.req.valid("json"), async (row) => keep(await showOne(row))),
        );
        return context.json(made, 201);
      },
    )
    .get(
      "/policies",
      operation({ ...read, summary: "List policies", answers: { 200: pageOf(policySchema) } }),
      query(pageQuery.extend({ customerId: nameSchema.optional() })),
      async (context) => {
        const { limit, after, customerId } = context.req.valid("query");
        const only = customerToList(principalOf(context), customerId);
        const rows = await listPolicies(deps.db, only, after, limit + 1);
        const page = toPage(
          rows,
          limit,
          ({ id }) => id,
          (row) => row,
        );
        return context.json({ ...page, items: await show(deps.db, page.items) });
      },
    )
    .get(
      "/policies/:id",
      operation({ ...read, summary: "Get a policy", answers: { 200: policySchema }, faults: ["not_found"] }),
      idParam("id"),
      async (context) => {
        const row = await findPolicy(deps, principalOf(context), context.req.valid("param").id);
        context.header("etag", `"${row.version}"`);
        return context.json(await showOne(row));
      },
    )
    .put(
      "/policies/:id",
      operation({
        ...write,
        summary: "Change a policy",
        description:
          "Replaces the whole definition. Nodes judge what is open again by it, and close what it does not allow. `If-Match` guards against overwriting somebody's change.",
        answers: { 200: policySchema },
        faults: ["not_found", "invalid", "conflict"],
      }),
      idParam("id"),
      body(wantedPolicySchema),
      async (context) => {
        const at = { id: context.req.valid("param").id, version: ifMatch(context) };
        const row = await changePolicy(deps, principalOf(context), at, context.req.valid("json"));
        context.header("etag", `"${row.version}"`);
        return context.json(await showOne(row));
      },
    )
    .delete(
      "/policies/:id",
      operation({
        ...write,
        summary: "Delete a policy",
        description: "Refused while a portal names it.",
        answers: { 204: null },
        faults: ["not_found", "conflict"],
      }),
      idParam("id"),
      async (context) => {
        const at = { id: context.req.valid("param").id, version: ifMatch(context) };
        await deletePolicy(deps, principalOf(context), at);
        return context.body(null, 204);
      },
    )
    .get(
      "/policies/:id/versions",
      operation({
        ...read,
        summary: "List the versions of a policy",
        answers: { 200: pageOf(versionSchema) },
        faults: ["not_found"],
      }),
      idParam("id"),
      query(
        z.object({
          limit: z.coerce.number().int().min(1).max(200).default(50),
          after: z.coerce.number().int().optional(),
        }),
      ),
      async (context) => {
        const { id } = context.req.valid("param");
        const { limit, after } = context.req.valid("query");
        await findPolicy(deps, principalOf(context), id, { deleted: true });
        const rows = await versionsOfPolicy(deps.db, id, after, limit + 1);
        return context.json(
          toPage(
            rows,
            limit,
            ({ version }) => String(version),
            ({ policyId: _policy, ...row }) => row,
          ),
        );
      },
    )
    .post(
      "/policies/:id/rollback",
      operation({
        ...write,
        summary: "Bring an earlier version back",
        description: "Under a higher number.",
        answers: { 200: policySchema },
        faults: ["not_found", "invalid", "conflict"],
      }),
      idParam("id"),
      body(z.strictObject({ version: numberSchema.min(1) })),
      async (context) => {
        const at = { id: context.req.valid("param").id, version: ifMatch(context) };
        const row = await rollBackPolicy(deps, principalOf(context), at, context.req.valid("json").version);
        context.header("etag", `"${row.version}"`);
        return context.json(await showOne(row));
      },
    );
}

function missing(): never {
  throw new TypeError("a policy that is not shown");
}

async function show(db: Db, rows: readonly PolicyRow[]) {
  const uses = await usesOf(
    db,
    rows.map(({ id }) => id),
  );
  return Promise.all(
    rows.map(async ({ deletedAt: _deleted, rules, ...row }) => {
      const own = uses.filter(({ policyId }) => policyId === row.id);
      const portals = new Map(own.map(({ portalId, name }) => [portalId, { id: portalId, name }]));
      const agents = [...new Set(own.map(({ agentId }) => agentId))];
      const nodes = await Promise.all(agents.map((agentId) => showNode(db, agentId, row)));
      return { ...row, rules: [...rules], portals: [...portals.values()], nodes };
    }),
  );
}

async function showNode(db: Db, agentId: string, { name, version }: Pick<PolicyRow, "name" | "version">) {
  const report = await reportOf(db, agentId);
  const item = report?.items.find((one) => one.kind === "policy" && one.name === name);
  if (item === undefined || report === undefined) return { agentId, inSync: false, actual: null };
  const { actual, wanted, state, code = null, reason = null } = item;
  const inSync = wanted === version && state === "applied";
  return { agentId, inSync, actual: { version: actual, wanted, state, code, reason, reportedAt: report.at } };
}
