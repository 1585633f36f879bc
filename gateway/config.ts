/** Settings of a Nexus, from the environment alone. The only reader of the environment in this program. */

import { Fault } from "#lib/fault";
import { openingsPerAddressPerMinute } from "#lib/limits";
import type { LogLevel } from "#lib/log";
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
  /** Whether `/metrics` is served beside the tunnels. False where there is a management listener. */
  readonly publicMetrics: boolean;
  /** Name of this machine as Solaris shows it. */
  readonly hostname: string;
}

/** Where to listen. */
export interface Listen {
  readonly host: string;
  /** 0 = any free one. */
  readonly port: number;
}

/** All settings of `nexus serve`. */
export interface NexusConfig {
  readonly gateway: GatewaySettings;
  readonly listen: Listen;
  readonly managementListen: Listen | undefined;
  /** PEM texts. */
  readonly tls: { readonly cert: string; readonly key: string } | undefined;
  readonly broker: { readonly url: string; readonly user: string | undefined; readonly password: string | undefined };
  readonly logLevel: LogLevel;
  readonly logFormat: "json" | "text";
}

/** One variable: what `--help` shows of it. */
interface Variable {
  readonly name: string;
  readonly text: string;
  /** What holds when it is not set; absent = it must be set, or is optional by its text. */
  readonly fallback?: string;
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
  { name: "NEXUS_HOSTNAME", text: "name that Solaris shows (default: the machine's)" },
  { name: "NEXUS_LOG_LEVEL", text: "debug, info, warn or error", fallback: "info" },
  { name: "NEXUS_LOG_FORMAT", text: "json or text", fallback: "json" },
] as const satisfies readonly Variable[];

type Name = (typeof variables)[number]["name"];

/** The table of variables as `--help` shows it. */
export function variablesText(): string {
  const widthMax = Math.max(...variables.map(({ name }) => name.length));
  return variables
    .map((variable: Variable) => {
      const given = variable.fallback ? ` [${variable.fallback}]` : "";
      return `  ${variable.name.padEnd(widthMax)}  ${variable.text}${given}`;
    })
    .join("\n");
}

/**
 * The settings in `environment`; `readText` reads a file that one of them names; `hostname` is the machine's.
 * Fault `config`, naming the variable and never its value, when one is missing, unknown or out of range.
 */
export function readConfig(
  environment: Readonly<Record<string, string | undefined>>,
  readText: (path: string) => string,
  hostname: string,
): NexusConfig {
  const known = new Set<string>(variables.map(({ name }) => name));
  for (const name of Object.keys(environment))
    if (name.startsWith("NEXUS_") && !known.has(name)) throw wrong(name, "is not a variable of Nexus");

  const optional = (name: Name): string | undefined => {
    const found = variables.find((variable) => variable.name === name) as Variable; // Name is made of the table
    return environment[name]?.trim() || found.fallback || undefined;
  };
  const required = (name: Name): string => optional(name) ?? fail(name, "must be set");
  const file = (name: Name): string | undefined => {
    const path = optional(name);
    if (path === undefined) return undefined;
    try {
      return readText(path);
    } catch (cause) {
      throw new Fault("config", `${name} names a file that can't be read`, { cause });
    }
  };
  const secret = (name: Name, fileName: Name): string | undefined =>
    optional(name) ?? file(fileName)?.split(/\r?\n/, 1)[0]?.trim();
  const integer = (name: Name, min: number, max: number): number => {
    const value = Number(required(name));
    return Number.isInteger(value) && value >= min && value <= max ? value : fail(name, `must be ${min} to ${max}`);
  };
  const oneOf = <T extends string>(name: Name, allowed: readonly T[]): T =>
    allowed.find((value) => value === required(name)) ?? fail(name, `must be one of ${allowed.join(", ")}`);

  const listen = listenOf("NEXUS_LISTEN", required("NEXUS_LISTEN"));
  const management = optional("NEXUS_MANAGEMENT_LISTEN");
  const tls = tlsOf(file("NEXUS_TLS_CERT_FILE"), file("NEXUS_TLS_KEY_FILE"));
  const proxies = (optional("NEXUS_TRUSTED_PROXIES") ?? "").split(",").flatMap((range) => range.trim() || []);
  trustedProxies(proxies);
  const allowInsecure = oneOf("NEXUS_ALLOW_INSECURE", ["yes", "no"]) === "yes";
  if (tls === undefined && proxies.length === 0 && !allowInsecure && !isLoopback(listen.host))
    throw wrong(
      "NEXUS_LISTEN",
      "is open to other machines: set a certificate, trusted proxies or NEXUS_ALLOW_INSECURE",
    );

  return {
    gateway: {
      solarisUrl: originOf("NEXUS_SOLARIS_URL", required("NEXUS_SOLARIS_URL"), allowInsecure),
      gatewayKey: secret("NEXUS_GATEWAY_KEY", "NEXUS_GATEWAY_KEY_FILE") ?? fail("NEXUS_GATEWAY_KEY", "must be set"),
      trustedProxies: proxies,
      allowInsecure,
      ownTls: tls !== undefined,
      openingsPerAddressPerMinute: integer("NEXUS_OPENINGS_PER_ADDRESS", 1, 1_000_000),
      admissionPerSecond: integer("NEXUS_ADMISSION_PER_SECOND", 1, 5_000),
      sessionsMax: integer("NEXUS_SESSIONS_MAX", 1, 100_000),
      drainMs: integer("NEXUS_DRAIN_MS", 0, 600_000),
      publicMetrics: management === undefined,
      hostname: (optional("NEXUS_HOSTNAME") ?? hostname).slice(0, 255),
    },
    listen,
    managementListen: management === undefined ? undefined : listenOf("NEXUS_MANAGEMENT_LISTEN", management),
    tls,
    broker: {
      url: required("NEXUS_NATS_URL"),
      user: optional("NEXUS_NATS_USER"),
      password: secret("NEXUS_NATS_PASSWORD", "NEXUS_NATS_PASSWORD_FILE"),
    },
    logLevel: oneOf("NEXUS_LOG_LEVEL", ["debug", "info", "warn", "error"]),
    logFormat: oneOf("NEXUS_LOG_FORMAT", ["json", "text"]),
  };
}

function wrong(name: string, what: string): Fault {
  return new Fault("config", `${name} ${what}`, { detail: { variable: name } });
}

function fail(name: Name, what: string): never {
  throw wrong(name, what);
}

function tlsOf(cert: string | undefined, key: string | undefined): NexusConfig["tls"] {
  if (cert === undefined && key === undefined) return undefined;
  if (cert === undefined) throw wrong("NEXUS_TLS_CERT_FILE", "must be set together with NEXUS_TLS_KEY_FILE");
  if (key === undefined) throw wrong("NEXUS_TLS_KEY_FILE", "must be set together with NEXUS_TLS_CERT_FILE");
  return { cert, key };
}

/** `host:port` or `[v6]:port`. */
function listenOf(name: Name, text: string): Listen {
  const parts = /^(?:\[([0-9a-fA-F:]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  const host = parts?.[1] ?? parts?.[2];
  const port = Number(parts?.[3]);
  if (host === undefined || !(port <= 65_535)) throw wrong(name, "must be an address and a port, such as 0.0.0.0:8443");
  return { host, port };
}

/** The gateway key goes to this address: only loopback may do without TLS. */
function originOf(name: Name, text: string, allowInsecure: boolean): string {
  const url = URL.canParse(text) ? new URL(text) : fail(name, "must be an address such as https://solaris.example.com");
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const plain = url.protocol === "http:" && (allowInsecure || isLoopback(host) || host === "localhost");
  if (url.protocol !== "https:" && !plain) throw wrong(name, "must be https");
  if (url.pathname !== "/" || url.search !== "" || url.username !== "") throw wrong(name, "must be an origin alone");
  return url.origin;
}
