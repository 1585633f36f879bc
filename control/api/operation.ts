import type { MiddlewareHandler } from "hono";
import { type DescribeRouteOptions, resolver, uniqueSymbol } from "hono-openapi";
import type { z } from "zod";
import { FAULT_TABLE, type FaultCode } from "#lib/fault";
import { demandScope } from "../access/principal.ts";
import type { Scope } from "../access/scopes.ts";
import type { ApiEnv } from "./env.ts";
import { idempotencyKeyParameter } from "./idempotency.ts";
import { problemSchema } from "./problem.ts";

/** What one route is, for people, for OpenAPI, and for the check of the key's scope. */
export interface Operation {
  readonly tag: string;
  readonly summary: string;
  readonly description?: string;
  /** What the key must hold. */
  readonly scope: Scope;
  /** Status → schema of the answer; null = no body. */
  readonly answers: Readonly<Record<number, z.ZodType | null>>;
  /** It runs its act through `once`. */
  readonly once?: boolean;
  /** Refusals special to this route. */
  readonly faults?: readonly FaultCode[];
}

/** First middleware of every route: demands the scope, and says in OpenAPI what it demands. One thing, so neither is forgotten. */
export function operation(spec: Operation): MiddlewareHandler<ApiEnv> {
  const check: MiddlewareHandler<ApiEnv> = async (context, next) => {
    demandScope(context.get("principal"), spec.scope);
    await next();
  };
  return Object.assign(check, { [uniqueSymbol]: { spec: describe(spec) } });
}

function describe({
  tag,
  summary,
  description,
  scope,
  answers,
  faults = [],
  once = false,
}: Operation): DescribeRouteOptions {
  const problems = new Map<number, string[]>();
  const ofOnce = once ? (["bad_request", "idempotency_conflict"] as const) : [];
  for (const code of new Set<FaultCode>(["unauthenticated", "forbidden", ...ofOnce, ...faults])) {
    const { status } = FAULT_TABLE[code];
    problems.set(status, [...(problems.get(status) ?? []), code]);
  }
  const answered = Object.entries(answers).map(([status, schema]) => [
    status,
    schema === null
      ? { description: "Done." }
      : { description: "Done.", content: { "application/json": { schema: resolver(schema) } } },
  ]);
  const refused = [...problems].map(([status, codes]) => [
    String(status),
    {
      description: codes.map((code) => `\`${code}\``).join(", "),
      content: { "application/problem+json": { schema: resolver(problemSchema) } },
    },
  ]);
  return {
    tags: [tag],
    summary,
    description: `${description === undefined ? "" : `${description}\n\n`}Scope: \`${scope}\`.`,
    security: [{ key: [] }],
    ...(once ? { parameters: [idempotencyKeyParameter] } : {}),
    responses: Object.fromEntries([...answered, ...refused]),
  };
}
