import type { Fault } from "#lib/fault";

/** A fault as anyone may see it: code and public text alone (RFC 9457). */
export function problemAnswer({ code, entry }: Fault, retryAfterMs?: number): Response {
  const headers = new Headers({ "content-type": "application/problem+json", "cache-control": "no-store" });
  if (retryAfterMs !== undefined) headers.set("retry-after", String(Math.ceil(retryAfterMs / 1_000)));
  const problem = { type: `urn:mercury:fault:${code}`, title: entry.text, status: entry.status, code };
  return Response.json(problem, { status: entry.status, headers });
}
