import { Fault } from "#lib/fault";
import { type ProxySettings, proxyFor } from "./proxy.ts";

/** How this site reaches the internet: through its proxies, trusting its own authorities besides the system's. */
export interface Network {
  /** `fetch` with the proxy and the authorities that hold for this address. */
  fetch(url: string | URL, init?: RequestInit): Promise<Response>;
  /** What a connection to this address needs. */
  wayTo(url: URL): { readonly proxy?: string; readonly tls?: { readonly ca: string[] } };
}

export interface NetworkSettings {
  readonly proxies: ProxySettings;
  /** PEM texts trusted besides the system's authorities. */
  readonly authorities: readonly string[];
}

export function makeNetwork({ proxies, authorities }: NetworkSettings): Network {
  const options = (url: URL) => {
    const proxy = proxyFor(url, proxies);
    return {
      ...(proxy === undefined ? {} : { proxy }),
      ...(authorities.length === 0 ? {} : { tls: { ca: [...authorities] } }),
    };
  };
  return {
    fetch: (url, init = {}) => fetch(url, { ...init, ...options(new URL(url)) }),
    wayTo: options,
  };
}

/**
 * The origin of a gateway's address, `ws` and `wss` taken for `http` and `https`. Fault `config` when it has no TLS, is not on
 * this machine, and `allowInsecure` is not set: nobody between may see what is not encrypted twice. Fault `config` also when it is no address.
 */
export function gatewayOrigin(address: string, allowInsecure: boolean): string {
  const text = address.replace(/^ws/, "http");
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text))
    throw new Fault("config", "the gateway's address must be one such as https://gateway.example.com");
  const url = new URL(text);
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const local = host === "localhost" || host === "::1" || /^127\.\d+\.\d+\.\d+$/.test(host);
  if (url.protocol !== "https:" && !local && !allowInsecure)
    throw new Fault("config", "the gateway's address has no TLS (https); set MERCURY_ALLOW_INSECURE=yes for a test");
  return url.origin;
}
