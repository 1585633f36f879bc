import { utf8 } from "#lib/bytes";
import { Fault } from "#lib/fault";
import type { HttpConfig } from "#lib/session";

/** Headers that say how a request is sent, or that Mercury sets itself. */
const ownHeaders =
  /^(host|content-length|transfer-encoding|connection|keep-alive|upgrade|te|trailer|expect|idempotency-key|proxy-.*)$/;

/** Where a system is, and how it knows us. */
export interface SystemAddress {
  readonly hostname: string;
  readonly port: number;
  /** The URL of a path below the base address. Fault `config` when it would lead to another origin. */
  url(path: string): URL;
  /** The `Authorization` header, if there is one. */
  readonly authorization: Readonly<Record<string, string>>;
  /** What must not be shown, in every form in which a system may say it back. */
  readonly secrets: readonly string[];
}

/** Reads base address and authentication. Fault `config` when they can't be used anywhere. */
export function systemAddress({ baseUrl, auth }: Pick<HttpConfig, "baseUrl" | "auth">): SystemAddress {
  const base = new URL(baseUrl);
  if (base.username !== "" || base.password !== "" || base.search !== "" || base.hash !== "")
    throw new Fault("config", "the address of the system must have no user name, password, query or fragment");
  const { authorization, secrets } = authorizationOf(auth);
  const start = base.href.replace(/\/$/, "");
  return {
    hostname: base.hostname,
    port: base.port === "" ? (base.protocol === "https:" ? 443 : 80) : Number(base.port),
    authorization,
    secrets: secrets.flatMap((secret) => [secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1)]),
    url(path) {
      const url = new URL(`${start}${path}`);
      if (url.origin !== base.origin) throw new Fault("config", "the path leads away from the system");
      return url;
    },
  };
}

function authorizationOf(auth: HttpConfig["auth"]): { authorization: Record<string, string>; secrets: string[] } {
  if (auth.kind === "none") return { authorization: {}, secrets: [] };
  if (auth.kind === "bearer") {
    if (!/^[\x21-\x7e]+$/.test(auth.token)) throw new Fault("config", "the token can't stand in a header");
    return { authorization: { authorization: `Bearer ${auth.token}` }, secrets: [auth.token] };
  }
  if (auth.username.includes(":")) throw new Fault("config", "a user name of Basic authentication has no colon in it");
  const pair = btoa(String.fromCharCode(...utf8(`${auth.username}:${auth.password}`))); // RFC 7617 §2.1: UTF-8
  return { authorization: { authorization: `Basic ${pair}` }, secrets: [auth.password, pair] };
}

/** Configured headers under lower-case names. Fault `config` for one that can't be sent or is Mercury's own. */
export function configuredHeaders(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => {
      const lower = name.toLowerCase();
      if (ownHeaders.test(lower) || !/^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(lower) || !isHeaderValue(value))
        throw new Fault("config", "a header can't be sent", { detail: { header: lower.slice(0, 100) } });
      return [lower, value];
    }),
  );
}

/** RFC 9110 §5.5, without what is not ASCII. */
export function isHeaderValue(text: string): boolean {
  return /^[\x20-\x7e\t]*$/.test(text);
}
