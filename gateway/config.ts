/** Settings of a Nexus, from the environment alone. The only reader of the environment in this program. */

import { openingsPerAddressPerMinute } from "#lib/limits";
import type { LogLevel } from "#lib/log";
import { type Listen, readSettings, settingsText, type Tls, type Variable, wrongSetting } from "#lib/runtime";
import { admissionRateStart } from "./tunnel/admission.ts";
import { isLoopback, trustedProxies } from "./tunnel/client-address.ts";

/** What the gateway itself needs to know, wherever it runs. */
export interface GatewaySettings {
  /** Origin of Solaris, without a path. */
  readonly solarisUrl: string;
  /** Key with which this replica authenticates every call to Solaris. */
  readonly gatewayKey: string;
  /** Addresses and ranges whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed. Default none. */
  readonly trustedProxies: readonly string[];
  /** Whether tunnels without TLS are let in from other machines. Default false. */
  readonly allowInsecure: boolean;
  /** Whether this process ends TLS itself. */
  readonly ownTls: boolean;
  /** Openings of one address that may fail within a minute. Range 1 … 1,000,000. */
  readonly openingsPerAddressPerMinute: number;
  /** Openings a second that the admission ramp begins with. Range 1 … 5,000. */
  readonly admissionPerSecond: number;
  /** Sessions that this replica holds at most; more are told to come back. Range 1 … 100,000. */
  readonly sessionsMax: number;
  /** ms that open sessions have to move elsewhere when this replica is told to end. Range 0 … 600,000. */
  readonly drainMs: number;
  /** What this Nexus connects to for portals of mode `terminated`, as lines `host:port`. Default none: it connects to nothing. */
  readonly outlets: readonly string[];
  /** Whether `/metrics` is served beside the tunnels. False where there is a management listener. */
  readonly publicMetrics: boolean;
  /** Name of this machine as Solaris shows it. */
  readonly hostname: string;
}

/** All settings of `nexus serve`. */
export interface NexusConfig {
  readonly gateway: GatewaySettings;
  readonly listen: Listen;
  readonly managementListen: Listen | undefined;
  readonly tls: Tls | undefined;
  readonly broker: { readonly url: string; readonly user: string | undefined; readonly password: string | undefined };
  readonly logLevel: LogLevel;
  readonly logFormat: "json" | "text";
}

/** Every variable that is read. `NEXUS_…_FILE` names a file whose first line is the value. */
export const variables = [
  { name: "NEXUS_SOLARIS_URL", text: "origin of Solaris, such as https://solaris.example.com (required)" },
  { name: "NEXUS_GATEWAY_KEY", text: "gateway key made in Solaris (this or NEXUS_GATEWAY_KEY_FILE required)" },
  { name: "NEXUS_GATEWAY_KEY_FILE", text: "file that holds the gateway key" },
  { name: "NEXUS_NATS_URL", text: "NATS WebSocket address, such as wss://nats.example.com:443 (required)" },
  { name: "NEXUS_NATS_USER", text: "user at NATS (optional)" },
  { name: "NEXUS_NATS_PASSWORD", text: "password at NATS (optional)" },
  { name: "NEXUS_NATS_PASSWORD_FILE", text: "file that holds the password at NATS" },
  { name: "NEXUS_LISTEN", text: "address and port for tunnels", fallback: "127.0.0.1:8443" },
  {
    name: "NEXUS_MANAGEMENT_LISTEN",
    text: "address and port for /metrics, /healthz and /readyz; /metrics is then served nowhere else (optional)",
  },
  { name: "NEXUS_TLS_CERT_FILE", text: "certificate chain, PEM (optional: with NEXUS_TLS_KEY_FILE TLS ends here)" },
  { name: "NEXUS_TLS_KEY_FILE", text: "private key of the certificate, PEM" },
  {
    name: "NEXUS_TRUSTED_PROXIES",
    text: "addresses or ranges, separated by commas, whose X-Forwarded-For and X-Forwarded-Proto are believed",
    fallback: "",
  },
  {
    name: "NEXUS_ALLOW_INSECURE",
    text: "yes = let tunnels without TLS in from other machines; for tests only",
    fallback: "no",
  },
  {
    name: "NEXUS_OPENINGS_PER_ADDRESS",
    text: "openings of one address that may fail within a minute, 1 to 1000000",
    fallback: String(openingsPerAddressPerMinute),
  },
  {
    name: "NEXUS_ADMISSION_PER_SECOND",
    text: "openings a second to begin with, 1 to 5000; grows while Solaris is quick",
    fallback: String(admissionRateStart),
  },
  { name: "NEXUS_SESSIONS_MAX", text: "sessions held at most, 1 to 100000", fallback: "20000" },
  { name: "NEXUS_DRAIN_MS", text: "ms that sessions have to move when told to end, 0 to 600000", fallback: "20000" },
  {
    name: "NEXUS_OUTLETS",
    text: "what portals of mode terminated may reach: host:port separated by commas (names, *.domain, ranges; port, from-to or *)",
    fallback: "",
  },
  { name: "NEXUS_HOSTNAME", text: "name that Solaris shows (default: the machine's)" },
  { name: "NEXUS_LOG_LEVEL", text: "debug, info, warn or error", fallback: "info" },
  { name: "NEXUS_LOG_FORMAT", text: "json or text", fallback: "json" },
] as const satisfies readonly Variable[];

/** The table of variables as `--help` shows it. */
export const variablesText = () => settingsText(variables);

/**
 * The settings in `environment`; `readText` reads a file that one of them names; `hostname` is the machine's.
 * Fault `config`, naming the variable and never its value, when one is missing, unknown or out of range.
 */
export function readConfig(
  environment: Readonly<Record<string, string | undefined>>,
  readText: (path: string) => string,
  hostname: string,
): NexusConfig {
  const read = readSettings({ variables, prefix: "NEXUS_", environment, readText });
  const listen = read.listen("NEXUS_LISTEN");
  const managementListen = read.optionalListen("NEXUS_MANAGEMENT_LISTEN");
  const tls = read.tls("NEXUS_TLS_CERT_FILE", "NEXUS_TLS_KEY_FILE");
  const proxies = read.list("NEXUS_TRUSTED_PROXIES");
  trustedProxies(proxies);
  const allowInsecure = read.flag("NEXUS_ALLOW_INSECURE");
  if (tls === undefined && proxies.length === 0 && !allowInsecure && !isLoopback(listen.host))
    throw wrongSetting(
      "NEXUS_LISTEN",
      "is open to other machines: set a certificate, trusted proxies or NEXUS_ALLOW_INSECURE",
    );

  const solarisUrl = originOf("NEXUS_SOLARIS_URL", read.required("NEXUS_SOLARIS_URL"), allowInsecure);
  const gatewayKey = read.secret("NEXUS_GATEWAY_KEY", "NEXUS_GATEWAY_KEY_FILE");
  if (gatewayKey === undefined) throw wrongSetting("NEXUS_GATEWAY_KEY", "must be set");

  return {
    gateway: {
      solarisUrl,
      gatewayKey,
      trustedProxies: proxies,
      allowInsecure,
      ownTls: tls !== undefined,
      openingsPerAddressPerMinute: read.integer("NEXUS_OPENINGS_PER_ADDRESS", 1, 1_000_000),
      admissionPerSecond: read.integer("NEXUS_ADMISSION_PER_SECOND", 1, 5_000),
      sessionsMax: read.integer("NEXUS_SESSIONS_MAX", 1, 100_000),
      drainMs: read.integer("NEXUS_DRAIN_MS", 0, 600_000),
      outlets: read.hostRules("NEXUS_OUTLETS"),
      publicMetrics: managementListen === undefined,
      hostname: (read.optional("NEXUS_HOSTNAME") ?? hostname).slice(0, 255),
    },
    listen,
    managementListen,
    tls,
    broker: {
      url: read.required("NEXUS_NATS_URL"),
      user: read.optional("NEXUS_NATS_USER"),
      password: read.secret("NEXUS_NATS_PASSWORD", "NEXUS_NATS_PASSWORD_FILE"),
    },
    logLevel: read.oneOf("NEXUS_LOG_LEVEL", ["debug", "info", "warn", "error"]),
    logFormat: read.oneOf("NEXUS_LOG_FORMAT", ["json", "text"]),
  };
}

/** The gateway key goes to this address: only loopback may do without TLS. */
function originOf(name: string, text: string, allowInsecure: boolean): string {
  if (!URL.canParse(text)) throw wrongSetting(name, "must be an address such as https://solaris.example.com");
  const url = new URL(text);
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const plain = url.protocol === "http:" && (allowInsecure || isLoopback(host) || host === "localhost");
  if (url.protocol !== "https:" && !plain) throw wrongSetting(name, "must be https");
  if (url.pathname !== "/" || url.search !== "" || url.username !== "")
    throw wrongSetting(name, "must be an origin alone");
  return url.origin;
}
