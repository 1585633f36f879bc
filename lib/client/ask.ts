import { z } from "zod";
import { Fault, isFaultCode } from "#lib/fault";
import { sealedBytesMax } from "#lib/limits";

/** `fetch`, or what stands in for it. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

const timeoutMs = 90_000;
const problemSchema = z.object({ code: z.string(), detail: z.string().max(2_000).optional() });

/**
 * One request that is answered with JSON of this schema. Faults: `unavailable` when nobody answers, `malformed`, else the code of the
 * answer's own problem (RFC 9457).
 */
export async function ask<T>(fetch: Fetch, url: string, init: RequestInit, schema: z.ZodType<T>): Promise<T> {
  let response: Response;
  try {
    response = await fetch(url, { redirect: "error", signal: AbortSignal.timeout(timeoutMs), ...init });
  } catch (cause) {
    throw new Fault("unavailable", `${new URL(url).host} did not answer`, { cause });
  }
  const value = await jsonOf(response);
  if (!response.ok) {
    const problem = problemSchema.safeParse(value);
    if (problem.success && isFaultCode(problem.data.code)) throw new Fault(problem.data.code, problem.data.detail);
    throw new Fault(response.status === 429 ? "limited" : "unavailable", `answered with ${response.status}`);
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw new Fault("malformed", `${new URL(url).host} does not answer as Solaris does`);
  return parsed.data;
}

async function jsonOf(response: Response): Promise<unknown> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length > 2 * sealedBytesMax) throw new Fault("too_large", "an answer above its limit");
  }
  try {
    return JSON.parse(text + decoder.decode());
  } catch {
    return undefined; // no JSON fits no schema
  }
}
