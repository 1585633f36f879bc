import { z } from "zod";
import { type Bytes, base64url, fromBase64url } from "#lib/bytes";
import { Fault, type FaultCode, isFaultCode } from "#lib/fault";
import {
  type AuthorizeAnswer,
  authorityAnswerSchema,
  authorizeAnswerSchema,
  type Digest,
  type DigestAnswer,
  digestAnswerSchema,
  enrollAnswerSchema,
  type OutletAnswer,
  outletAnswerSchema,
  type RefreshAnswer,
  type RelayAnswer,
  refreshAnswerSchema,
  relayAnswerSchema,
  revocationsAnswerSchema,
  type StartAnswer,
  startAnswerSchema,
} from "#lib/session";

/** How requests reach Solaris: `fetch`, or the control app itself in the single-machine form. */
export type SolarisFetch = (request: Request) => Promise<Response>;

/** The session that a request is about. */
export interface SessionKey {
  readonly agentId: string;
  readonly slot: 0 | 1;
  readonly epoch: number;
}

/** What Nexus asks Solaris (`/nexus/v1`). Each call: Fault with Solaris' code, `timeout` or `unavailable`. */
export interface SolarisClient {
  start(request: { version: string; chain: Bytes; hostname: string }): Promise<StartAnswer>;
  authorize(request: {
    authorization: string;
    origin: string;
    address: string;
    nexus: string;
  }): Promise<AuthorizeAnswer>;
  /** Fault `displaced` when a newer epoch of the slot is ready already. */
  ready(session: SessionKey): Promise<void>;
  refresh(session: SessionKey, chain: Uint8Array | undefined): Promise<RefreshAnswer>;
  /** Whose node `to` is, when the session's agent may have a wire to it. Faults `not_found`, `forbidden`. */
  relay(session: SessionKey, to: string): Promise<RelayAnswer>;
  /** Where a connection of a portal's inlet leads that ends in this Nexus. Faults `not_found`, `forbidden`. */
  outlet(session: SessionKey, portal: string): Promise<OutletAnswer>;
  revocations(): Promise<z.infer<typeof revocationsAnswerSchema>>;
  enroll(request: { request: string; address: string }): Promise<string>;
  authority(): Promise<Bytes>;
  digest(digest: Digest): Promise<DigestAnswer>;
}

/** Requests take at most this long, ms: an agent's own deadline for an opening is not much longer. */
const requestTimeoutMs = 8_000;

/** The client of one Solaris at `url` (origin, no path) with the replica's gateway key. */
export function solarisClient(options: { url: string; gatewayKey: string; fetch: SolarisFetch }): SolarisClient {
  const base = options.url.replace(/\/+$/, "");

  async function send(method: "GET" | "POST", path: string, body: unknown): Promise<Response> {
    const request = new Request(`${base}/nexus/v1/${path}`, {
      method,
      headers: { authorization: `Bearer ${options.gatewayKey}`, "content-type": "application/json" },
      ...(method === "POST" ? { body: JSON.stringify(body) } : {}),
      signal: AbortSignal.timeout(requestTimeoutMs),
      redirect: "error",
    });
    try {
      return await options.fetch(request);
    } catch (cause) {
      const late = cause instanceof DOMException && cause.name === "TimeoutError";
      throw new Fault(late ? "timeout" : "unavailable", "Solaris did not answer", { cause });
    }
  }

  async function call<T>(method: "GET" | "POST", path: string, body: unknown, schema: z.ZodType<T>): Promise<T> {
    const response = await send(method, path, body);
    if (!response.ok) throw await faultOf(response);
    if (response.status === 204) return schema.parse({});
    const parsed = schema.safeParse(await jsonOf(response));
    if (!parsed.success) throw new Fault("unavailable", "Solaris answered something else", { cause: parsed.error });
    return parsed.data;
  }

  return {
    start: ({ chain, ...request }) => call("POST", "start", { ...request, chain: base64url(chain) }, startAnswerSchema),
    authorize: (request) => call("POST", "authorize", request, authorizeAnswerSchema),
    ready: async (session) => {
      await call("POST", "ready", session, z.object({}));
    },
    refresh: (session, chain) =>
      call("POST", "refresh", { ...session, ...(chain ? { chain: base64url(chain) } : {}) }, refreshAnswerSchema),
    relay: (session, to) => call("POST", "relay", { ...session, to }, relayAnswerSchema),
    outlet: ({ agentId, slot, epoch }, portal) =>
      call("POST", "outlet", { agentId, slot, epoch, portal }, outletAnswerSchema),
    revocations: () => call("GET", "revocations", undefined, revocationsAnswerSchema),
    enroll: async (request) => (await call("POST", "enroll", request, enrollAnswerSchema)).answer,
    authority: async () => bytesOf((await call("GET", "authority", undefined, authorityAnswerSchema)).authority),
    digest: (digest) => call("POST", "digest", digest, digestAnswerSchema),
  };
}

/** Bytes of a base64url field of Solaris' answer. */
export function bytesOf(text: string): Bytes {
  const bytes = fromBase64url(text);
  if (bytes === undefined) throw new Fault("unavailable", "Solaris answered something else");
  return bytes;
}

async function jsonOf(response: Response): Promise<unknown> {
  try {
    return await response.json();
  } catch (cause) {
    throw new Fault("unavailable", "Solaris answered no JSON", { cause });
  }
}

const problemSchema = z.object({ code: z.string().max(64) });

/** The code of a problem document (RFC 9457); a status without one says only that Solaris is not usable. */
async function faultOf(response: Response): Promise<Fault> {
  const problem = problemSchema.safeParse(await response.json().catch(() => undefined));
  const code = problem.success && isFaultCode(problem.data.code) ? problem.data.code : byStatus(response.status);
  return new Fault(code, "Solaris refused a request of this Nexus", { detail: { status: response.status } });
}

function byStatus(status: number): FaultCode {
  if (status === 401) return "unauthenticated";
  if (status === 403) return "forbidden";
  if (status === 404) return "not_found";
  if (status === 409) return "conflict";
  if (status === 413) return "too_large";
  if (status === 429) return "limited";
  return "unavailable";
}
