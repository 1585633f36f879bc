import type { SolarisConfig } from "../config.ts";

/** Where the Solaris with these settings answers on this machine. */
export function ownOrigin({ listen, tls }: Pick<SolarisConfig, "listen" | "tls">): string {
  const own = listen.host === "0.0.0.0" ? "127.0.0.1" : listen.host === "::" ? "::1" : listen.host;
  const host = own.includes(":") ? `[${own}]` : own;
  return `${tls === undefined ? "http" : "https"}://${host}:${listen.port}`;
}

/**
 * `fetch` to the Solaris of this machine. Its certificate names the public host, not this machine: whoever listens on this
 * machine's port is believed as far as this machine is.
 */
export function fetchOwn(config: Pick<SolarisConfig, "listen" | "tls">, path: string, init: RequestInit = {}) {
  const tlsOptions = { tls: { rejectUnauthorized: false } };
  return fetch(`${ownOrigin(config)}${path}`, { signal: AbortSignal.timeout(10_000), ...tlsOptions, ...init });
}
