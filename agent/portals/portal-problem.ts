import type { Fault, FaultCode } from "#lib/fault";

/** What the client itself is told; every other failure is one of the way to the service (RFC 9110 §15.6.3). */
const ofTheClient: ReadonlySet<FaultCode> = new Set([
  "bad_request",
  "forbidden",
  "not_allowed_here",
  "limited",
  "too_large",
]);

/** Why a request did not reach its service, as the client is told (RFC 9457): a code, and no more of the site than that. */
export function portalProblem(fault: Fault, status: number = statusOf(fault)): Response {
  const { code, detail } = fault;
  const headers = new Headers({ "content-type": "application/problem+json", "cache-control": "no-store" });
  const { retryAfterMs } = detail;
  if (typeof retryAfterMs === "number")
    headers.set("retry-after", String(Math.max(1, Math.ceil(retryAfterMs / 1_000))));
  const problem = { type: `urn:mercury:fault:${code}`, title: fault.entry.text, status, code };
  return Response.json(problem, { status, headers });
}

function statusOf({ code, entry: { status } }: Fault): number {
  if (ofTheClient.has(code)) return status;
  if (code === "revoked" || code === "not_found") return 503; // nobody serves it
  return status === 503 || status === 504 ? status : 502;
}
