import { Fault } from "#lib/fault";
import type { SiteGuard } from "./site-guard.ts";

/** A request to a system at the site. */
export interface SiteRequest {
  readonly url: URL;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array<ArrayBuffer>;
  readonly signal: AbortSignal;
}

/** Calls a system that the site's list allows. Redirects are never followed: they would lead past the list. */
export type SiteFetch = (request: SiteRequest) => Promise<Response>;

/** What the runtime's fetch takes beyond the standard. */
interface RuntimeRequestInit extends RequestInit {
  readonly tls?: { readonly ca?: string[]; readonly serverName?: string };
}

/**
 * A fetch that goes to the very address that was checked, so that a name can't point elsewhere a moment later. `ca`: PEM
 * texts to trust. Faults: `not_allowed_here`; `system_unavailable` when there is no connection (detail `reason`).
 */
export function makeSiteFetch(guard: SiteGuard, ca: readonly string[] | undefined): SiteFetch {
  return async ({ url, method, headers, body, signal }) => {
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
        ...(body === undefined ? {} : { body }),
        tls: { serverName: url.hostname.replace(/^\[|\]$/g, ""), ...(ca === undefined ? {} : { ca: [...ca] }) },
      };
      try {
        return await fetch(pinned, init);
      } catch (error) {
        signal.throwIfAborted();
        refused = error;
        if (reasonOf(error) !== "ECONNREFUSED") break; // only what surely sent nothing goes to the next address
      }
    }
    throw new Fault("system_unavailable", `no connection to the system (${reasonOf(refused)})`, {
      detail: { host: url.hostname, port, reason: reasonOf(refused) },
    });
  };
}

/** The runtime's code of a failed request; its message may hold the address with a query in it. */
function reasonOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "unknown";
}
