import { Fault } from "#lib/fault";

/** Where a site's proxies are, as its administrators name them in the environment. */
export interface ProxySettings {
  /** `HTTPS_PROXY`; `http://[user:password@]host:port`. Basic authentication goes with CONNECT. */
  readonly https: string | undefined;
  /** `HTTP_PROXY`, for addresses without TLS. */
  readonly http: string | undefined;
  /** `NO_PROXY`: hosts, `.suffix`, `host:port`, IPv4 ranges `a.b.c.d/n`, or `*`; separated by commas. */
  readonly none: string | undefined;
}

/** The proxy for `url`, or undefined for a direct connection. Loopback is always direct. Fault `config` for a bad address. */
export function proxyFor(url: URL, settings: ProxySettings): string | undefined {
  const secure = url.protocol === "https:" || url.protocol === "wss:";
  const proxy = secure ? settings.https : settings.http;
  if (proxy === undefined || proxy === "") return undefined;
  const host = url.hostname.replace(/^\[|\]$/g, "").toLowerCase();
  if (host === "localhost" || host === "::1" || host.startsWith("127.")) return undefined;
  const port = url.port === "" ? (secure ? "443" : "80") : url.port;
  const direct = (settings.none ?? "").split(/[\s,]+/).some((entry) => exempts(entry.toLowerCase(), host, port));
  if (direct) return undefined;
  const address = proxy.includes("://") ? proxy : `http://${proxy}`;
  if (!URL.canParse(address)) throw new Fault("config", "the proxy's address is not one"); // never shown: it may hold a password
  return address;
}

function exempts(entry: string, host: string, port: string): boolean {
  if (entry === "") return false;
  if (entry === "*") return true;
  const range = /^(\d+\.\d+\.\d+\.\d+)\/(\d{1,2})$/.exec(entry);
  if (range !== null) return inRange(host, range[1] ?? "", Number(range[2]));
  const [name = "", entryPort] = entry.replace(/^\*?\./, "").split(/:(?=\d+$)/);
  if (entryPort !== undefined && entryPort !== port) return false;
  return host === name || host.endsWith(`.${name}`);
}

function inRange(host: string, network: string, bits: number): boolean {
  const [address, base] = [quad(host), quad(network)];
  if (address === undefined || base === undefined || bits > 32) return false;
  const mask = bits === 0 ? 0 : (-1 << (32 - bits)) >>> 0;
  return (address & mask) >>> 0 === (base & mask) >>> 0;
}

function quad(text: string): number | undefined {
  const parts = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)?.slice(1).map(Number);
  if (parts === undefined || parts.some((part) => part > 255)) return undefined;
  return parts.reduce((value, part) => value * 256 + part, 0);
}
