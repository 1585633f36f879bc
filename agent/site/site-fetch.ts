import { Fault, type FaultCode } from "#lib/fault";
import type { SiteGuard } from "./site-guard.ts";

/** A request to a system at the site. */
export interface SiteRequest {
  readonly url: URL;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array<ArrayBuffer>;
  readonly signal: AbortSignal;
  /**
   * Whether the connection of an earlier call may be used again. Not for what must not be sent twice: the far end may be closing
   * it at that moment, and then nobody knows whether the request was read. Default true.
   */
  readonly keepAlive?: boolean;
}

/** Calls a system that the site's list allows. Redirects are never followed: they would lead past the list. */
export type SiteFetch = (request: SiteRequest) => Promise<Response>;

/** What the runtime's fetch takes beyond the standard. */
interface RuntimeRequestInit extends RequestInit {
  readonly tls?: { readonly ca?: string[]; readonly serverName?: string };
  readonly proxy?: false;
}

/** The runtime's codes of a request that was surely not sent: no address, no connection, no TLS that could be trusted. */
const notSent =
  /^(ECONNREFUSED|ConnectionRefused|FailedToOpenSocket|ENOTFOUND|EHOSTUNREACH|ENETUNREACH|EADDRNOTAVAIL|EPROTO)$|TLS|CERT|SSL|SELF_SIGNED|UNABLE_TO_|CRL/;

/**
 * A fetch that goes to the very address that was checked, so that a name can't point elsewhere a moment later. `ca`: PEM
 * texts to trust. Faults: `not_allowed_here`; `system_unavailable` when there is no connection, `outcome_unknown` when it was lost
 * after something may have been sent (both: detail `reason`). Rejects with the signal's reason when that aborts.
 */
export function makeSiteFetch(guard: SiteGuard, ca: readonly string[] | undefined): SiteFetch {
  return async ({ url, method, headers, body, signal, keepAlive = true }) => {
    const port = url.port === "" ? (url.protocol === "https:" ? 443 : 80) : Number(url.port);
    const addresses = await guard.allowConnect(url.hostname, port).catch((error: unknown) => {
      if (error instanceof Fault && error.code === "unavailable")
        throw new Fault("system_unavailable", "the system's name has no address", { cause: error });
      throw error;
    });
    let refused: unknown;
    for (const address of addresses) {
      signal.throwIfAborted();
      const pinned = new URL(url);
      pinned.hostname = address.includes(":") ? `[${address}]` : address;
      const init: RuntimeRequestInit = {
        method,
        headers: { ...headers, host: url.host },
        redirect: "manual",
        signal,
        keepalive: keepAlive,
        proxy: false, // a proxy would resolve the name anew
        ...(body === undefined ? {} : { body }),
        tls: { serverName: url.hostname.replace(/^\[|\]$/g, ""), ...(ca === undefined ? {} : { ca: [...ca] }) },
      };
      try {
        return await fetch(pinned, init);
      } catch (error) {
        signal.throwIfAborted();
        refused = error;
        if (!notSent.test(reasonOf(error)))
          throw lost("outcome_unknown", "the connection to the system was lost", error);
      }
    }
    throw lost("system_unavailable", "no connection to the system", refused);

    function lost(code: FaultCode, text: string, cause: unknown): Fault {
      const reason = reasonOf(cause);
      return new Fault(code, `${text} (${reason})`, { detail: { host: url.hostname, port, reason } });
    }
  };
}

/** The runtime's code of a failed request; its message may hold the address with a query in it. */
function reasonOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "unknown";
}
