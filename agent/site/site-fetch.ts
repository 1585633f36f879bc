import { Fault, type FaultCode } from "#lib/fault";
import type { SiteGuard } from "./site-guard.ts";

/** A request to a system at the site. */
export interface SiteRequest {
  readonly url: URL;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Bytes, or a stream made for each try; undefined from the function: something of it was read, so there is no other try. */
  readonly body?: Uint8Array<ArrayBuffer> | (() => ReadableStream<Uint8Array<ArrayBuffer>> | undefined);
  readonly signal: AbortSignal;
  /**
   * Whether the connection of an earlier call may be used again. Not for what must not be sent twice: the far end may be closing
   * it at that moment, and then nobody knows whether the request was read. Default true.
   */
  readonly keepAlive?: boolean;
  /** Whether the body of the answer comes as it was sent, still compressed, and may be silent for as long as it likes. Default false. */
  readonly asSent?: boolean;
}

/** Calls a system that the site's list allows. Redirects are never followed: they would lead past the list. */
export type SiteFetch = (request: SiteRequest) => Promise<Response>;

/** The way to an address at this site: the proxy that leads there, if one does, and the authorities to trust. */
export type SiteWay = (url: URL) => { readonly proxy?: string; readonly tls?: { readonly ca: string[] } };

/** What the runtime's fetch takes beyond the standard. */
interface RuntimeRequestInit extends RequestInit {
  readonly tls?: { readonly ca?: string[]; readonly serverName?: string };
  readonly proxy?: string | false;
  readonly decompress?: boolean;
  readonly timeout?: false;
}

/** The runtime's codes of a request that was surely not sent: no address, no connection, no TLS that could be trusted. */
const notSent =
  /^(ECONNREFUSED|ConnectionRefused|FailedToOpenSocket|ENOTFOUND|EHOSTUNREACH|ENETUNREACH|EADDRNOTAVAIL|EPROTO|ERR_PROXY_TUNNEL)$|TLS|CERT|SSL|SELF_SIGNED|UNABLE_TO_|CRL/;

/**
 * A fetch to what was checked: directly, to that very address, so that a name can't point elsewhere a moment later; or through
 * the site's proxy. Faults: `not_allowed_here`; `system_unavailable` when there is no connection, `outcome_unknown` when it was lost
 * after something may have been sent (both: detail `reason`). Rejects with the signal's reason when that aborts.
 */
export function makeSiteFetch(guard: SiteGuard, wayTo: SiteWay): SiteFetch {
  return async ({ url, method, headers, body, signal, keepAlive = true, asSent = false }) => {
    const port = url.port === "" ? (url.protocol === "https:" ? 443 : 80) : Number(url.port);
    const { proxy, tls } = wayTo(url);
    const targets =
      proxy === undefined
        ? await addressesOf(guard, url.hostname, port)
        : [await guard.allowProxied(url.hostname, port)];
    let refused: unknown;
    for (const target of targets) {
      signal.throwIfAborted();
      const pinned = new URL(url);
      pinned.hostname = target.includes(":") ? `[${target}]` : target;
      const sent = typeof body === "function" ? body() : body;
      if (body !== undefined && sent === undefined) break;
      const init: RuntimeRequestInit = {
        method,
        headers: { ...headers, host: url.host },
        redirect: "manual",
        signal,
        keepalive: keepAlive,
        proxy: proxy ?? false, // never one that the runtime finds by itself
        ...(sent === undefined ? {} : { body: sent }),
        ...(asSent ? { decompress: false, timeout: false } : {}),
        tls: { serverName: url.hostname.replace(/^\[|\]$/g, ""), ...tls },
      };
      try {
        const response = await fetch(pinned, init);
        return proxy === undefined ? response : await ofTheSystem(response);
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof Fault) throw error;
        refused = error;
        if (!notSent.test(reasonOf(error)))
          throw lost("outcome_unknown", "the connection to the system was lost", error);
      }
    }
    if (proxy === undefined) throw lost("system_unavailable", "no connection to the system", refused);
    throw lost(
      "system_unavailable",
      "no connection to the system through the site's proxy; NO_PROXY names what needs none",
      refused,
    );

    function lost(code: FaultCode, text: string, cause: unknown): Fault {
      const reason = reasonOf(cause);
      const said = reason === "ERR_PROXY_TUNNEL" ? proxyAnswer(cause) : reason;
      return new Fault(code, `${text} (${said})`, { detail: { host: url.hostname, port, reason } });
    }
  };
}

async function addressesOf(guard: SiteGuard, host: string, port: number): Promise<readonly string[]> {
  try {
    return await guard.allowConnect(host, port);
  } catch (error) {
    if (error instanceof Fault && error.code === "unavailable")
      throw new Fault("system_unavailable", "the system's name has no address", { cause: error });
    throw error;
  }
}

/** A proxy that does not let us through has not asked the system: its 407 refuses no message. */
async function ofTheSystem(response: Response): Promise<Response> {
  if (response.status !== 407) return response;
  await response.body?.cancel();
  throw new Fault("system_unavailable", "the site's proxy wants another user or password (407)");
}

/** The runtime's code of a failed request; its message may hold the address with a query in it. */
function reasonOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "unknown";
}

/** The status with which a proxy refused CONNECT: the runtime tells it in its message only. */
function proxyAnswer(error: unknown): string {
  const status = error instanceof Error ? /open a tunnel: (\d{3}[\w ]{0,60})/.exec(error.message)?.[1] : undefined;
  return `the proxy answers ${status ?? "something else than HTTP"}`;
}
