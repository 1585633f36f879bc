import { validator } from "hono-openapi";
import { z } from "zod";
import { Fault } from "#lib/fault";

const issuesMax = 50;

interface Issue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** Fault `invalid` whose detail is path → message, as the API tells it per field. Values never stand in it. */
export function invalid(issues: readonly Issue[], prefix = ""): Fault {
  const fields = issues.slice(0, issuesMax).map(({ path, message }) => {
    const names = (path ?? []).map((part) => String(typeof part === "object" ? part.key : part));
    return [[prefix, ...names].filter((name) => name !== "").join(".") || "(body)", message] as const;
  });
  return new Fault("invalid", undefined, { detail: Object.fromEntries(fields) });
}

/** `value` as `schema` has it. Fault `invalid` per field, paths begin with `prefix`. */
export function parseOrInvalid<T>(schema: z.ZodType<T>, value: unknown, prefix = ""): T {
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw invalid(parsed.error.issues, prefix);
  return parsed.data;
}

/** The JSON body, checked; documented in OpenAPI. */
export const body = <Schema extends z.ZodType>(schema: Schema) =>
  validator("json", schema, (result) => {
    if (!result.success) throw invalid(result.error);
  });

/** Query parameters, checked; documented in OpenAPI. */
export const query = <Schema extends z.ZodType>(schema: Schema) =>
  validator("query", schema, (result) => {
    if (!result.success) throw invalid(result.error);
  });

/** One id in the path. What does not look like one can't exist: 404. */
export const idParam = <Name extends string>(...names: Name[]) =>
  validator(
    "param",
    z.object(
      Object.fromEntries(names.map((name) => [name, z.string().regex(/^[A-Za-z0-9_-]{1,64}$/)])) as Record<
        Name,
        z.ZodString
      >,
    ),
    (result) => {
      if (!result.success) throw new Fault("not_found");
    },
  );
