import type { ContentfulStatusCode } from "hono/utils/http-status";
import { z } from "zod";
import { asFault, type Fault } from "#lib/fault";

/** What every error answer holds (RFC 9457). */
export const problemSchema = z
  .object({
    type: z.string().meta({ description: "`urn:mercury:fault:` and the code" }),
    title: z.string(),
    status: z.int(),
    code: z.string().meta({ description: "Stable; write programs against this." }),
    detail: z.string().optional(),
    requestId: z.string(),
    errors: z
      .array(z.object({ path: z.string(), message: z.string() }))
      .optional()
      .meta({ description: "One per field that does not fit." }),
    retryAfterMs: z.int().optional(),
  })
  .meta({ ref: "Problem" });

export type Problem = z.infer<typeof problemSchema>;

/** `error` as a caller may see it: operator's facts stay in the log, under the same request id. */
export function problemOf(error: unknown, requestId: string): Problem {
  const fault = asFault(error, "internal");
  const { text, status, scope } = fault.entry;
  const tellsCaller = scope === "caller" && fault.message !== text;
  return {
    type: `urn:mercury:fault:${fault.code}`,
    title: text,
    status,
    code: fault.code,
    ...(tellsCaller ? { detail: fault.message } : {}),
    requestId,
    ...(fault.code === "invalid" ? { errors: fieldErrors(fault) } : {}),
    ...(typeof fault.detail.retryAfterMs === "number" ? { retryAfterMs: fault.detail.retryAfterMs } : {}),
  };
}

/** The problem as an HTTP answer, with `Retry-After` where one is known. */
export function problemResponse(problem: Problem): Response {
  const headers = new Headers({ "content-type": "application/problem+json", "cache-control": "no-store" });
  if (problem.retryAfterMs !== undefined) headers.set("retry-after", String(Math.ceil(problem.retryAfterMs / 1_000)));
  if (problem.status === 401) headers.set("www-authenticate", "Bearer");
  return Response.json(problem, { status: problem.status as ContentfulStatusCode, headers }); // from FAULT_TABLE: all have bodies
}

const fieldErrors = (fault: Fault) =>
  Object.entries(fault.detail).map(([path, message]) => ({ path, message: String(message) }));
