/** Settings of Solaris, from the environment alone. The only reader of the environment in this program. */

import type { LogLevel } from "#lib/log";
import {
  type Listen,
  readSettings,
  type Settings,
  settingsText,
  type Tls,
  type Variable,
  wrongSetting,
} from "#lib/runtime";
import { type Retention, retentionSchema } from "./retention/index.ts";

/** The gateway inside this process (`serve --with-gateway`). */
export interface OwnGatewayConfig {
  readonly listen: Listen;
  /** Where agents reach it, if that is not where it listens. */
  readonly origin: string | undefined;
  readonly tls: Tls | undefined;
  readonly trustedProxies: readonly string[];
  readonly allowInsecure: boolean;
  /** What it connects to for portals of mode `terminated`. */
  readonly outlets: readonly string[];
}

/** All settings. */
export interface SolarisConfig {
  readonly listen: Listen;
  readonly tls: Tls | undefined;
  /** Where `/metrics` and health are answered instead; undefined = where all else is. */
  readonly managementListen: Listen | undefined;
  /** Folder of the databases. */
  readonly dataDirectory: string;
  /** File with the key-encryption key, outside the data directory; used when neither environment nor key store have it. */
  readonly keyFile: string;
  /** Where the first admin key is written when there is no terminal. */
  readonly adminKeyFile: string;
  /** A remote libSQL server instead of `solaris.db`. */
  readonly database: { readonly url: string; readonly authToken: string | undefined } | undefined;
  /** NATS; undefined = the embedded broker in `broker.db`. */
  readonly nats:
    | { readonly servers: readonly string[]; readonly user: string | undefined; readonly password: string | undefined }
    | undefined;
  /** Whether what was received is published at the broker as events too, for other cloud services. */
  readonly publishEvents: boolean;
  readonly gateway: OwnGatewayConfig;
  readonly retention: Retention;
  readonly logLevel: LogLevel;
  readonly logFormat: "json" | "text";
  /** Benchmarks only: ms added to every commit of a local file, to stand for a slow disk. */
  readonly commitDelayMs: number;
  /** Whether connector types for tests and benchmarks may be configured. */
  readonly testConnectors: boolean;
  /** The environment as `findKey` looks at it. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** Name of the environment variable and of the systemd credential that hold the key-encryption key. */
export const keyVariable = "SOLARIS_KEY";

/** Every variable that is read. */
export const variables = [
  { name: "SOLARIS_DATA", text: "folder of the databases", fallback: "./solaris-data" },
  { name: "SOLARIS_LISTEN", text: "address and port of API, Nexus API and console", fallback: "127.0.0.1:8080" },
  {
    name: "SOLARIS_MANAGEMENT_LISTEN",
    text: "address and port for /metrics, /healthz and /readyz; /metrics is then served nowhere else (optional)",
  },
  {
    name: "SOLARIS_TLS_CERT_FILE",
    text: "certificate chain, PEM (with SOLARIS_TLS_KEY_FILE; else put a proxy before it)",
  },
  { name: "SOLARIS_TLS_KEY_FILE", text: "private key of the certificate, PEM" },
  {
    name: "SOLARIS_ALLOW_INSECURE",
    text: "yes = listen without TLS on other addresses than this machine's own (behind a proxy, or for tests)",
    fallback: "no",
  },
  {
    name: keyVariable,
    text: "key-encryption key, 32 to 1024 characters (else: systemd credential solaris-key, OS key store, SOLARIS_KEY_FILE)",
  },
  { name: "SOLARIS_KEY_FILE", text: "0600 file with that key, made when missing (default: SOLARIS_DATA + .key)" },
  {
    name: "SOLARIS_ADMIN_KEY_FILE",
    text: "where the first admin key goes without a terminal (default: SOLARIS_DATA + .admin-key)",
  },
  { name: "SOLARIS_DATABASE_URL", text: "libSQL server instead of a local file (optional)" },
  { name: "SOLARIS_DATABASE_TOKEN", text: "its token" },
  { name: "SOLARIS_DATABASE_TOKEN_FILE", text: "file that holds its token" },
  { name: "SOLARIS_NATS_URL", text: "NATS WebSocket addresses, separated by commas (default: the embedded broker)" },
  { name: "SOLARIS_NATS_USER", text: "user at NATS" },
  { name: "SOLARIS_NATS_PASSWORD", text: "password at NATS" },
  { name: "SOLARIS_NATS_PASSWORD_FILE", text: "file that holds the password at NATS" },
  {
    name: "SOLARIS_PUBLISH_EVENTS",
    text: "yes = publish what was received as events at the broker too (stream EVENTS; broker-config --events makes their reader)",
    fallback: "no",
  },
  {
    name: "SOLARIS_GATEWAY_LISTEN",
    text: "serve --with-gateway: address and port for tunnels",
    fallback: "127.0.0.1:8443",
  },
  {
    name: "SOLARIS_GATEWAY_ORIGIN",
    text: "serve --with-gateway: where agents reach it, such as https://gateway.example.com",
  },
  { name: "SOLARIS_GATEWAY_TLS_CERT_FILE", text: "serve --with-gateway: certificate chain, PEM" },
  { name: "SOLARIS_GATEWAY_TLS_KEY_FILE", text: "serve --with-gateway: private key, PEM" },
  {
    name: "SOLARIS_GATEWAY_TRUSTED_PROXIES",
    text: "serve --with-gateway: addresses or ranges whose X-Forwarded-For and -Proto are believed",
  },
  {
    name: "SOLARIS_GATEWAY_OUTLETS",
    text: "serve --with-gateway: what portals of mode terminated may reach, host:port separated by commas; default nothing",
  },
  {
    name: "SOLARIS_RETENTION_DAYS",
    text: "lifetimes in days, such as messages=30,received=7,attempts=90 (also deadLetters, quarantine, commands, history, progress)",
  },
  { name: "SOLARIS_LOG_LEVEL", text: "debug, info, warn or error", fallback: "info" },
  { name: "SOLARIS_LOG_FORMAT", text: "json or text", fallback: "json" },
  {
    name: "SOLARIS_TEST_CONNECTORS",
    text: "yes = offer connector types for tests and benchmarks",
    fallback: "no",
  },
  { name: "SOLARIS_BENCH_COMMIT_DELAY_MS", text: "benchmarks only: ms added to every commit", fallback: "0" },
] as const satisfies readonly Variable[];

type Name = (typeof variables)[number]["name"];

/** The table of variables as `--help` shows it. */
export const variablesText = () => settingsText(variables);

/**
 * The settings in `environment`; `readText` reads a file that one of them names. Fault `config`, naming the variable and never its
 * value, when one is unknown, out of range, or insecure without saying so.
 */
export function readConfig(
  environment: Readonly<Record<string, string | undefined>>,
  readText: (path: string) => string,
): SolarisConfig {
  const read = readSettings({ variables, prefix: "SOLARIS_", environment, readText });
  const dataDirectory = read.required("SOLARIS_DATA").replace(/(?<=.)[/\\]+$/, "");
  const allowInsecure = read.flag("SOLARIS_ALLOW_INSECURE");
  const listen = read.listen("SOLARIS_LISTEN");
  const tls = read.tls("SOLARIS_TLS_CERT_FILE", "SOLARIS_TLS_KEY_FILE");
  if (tls === undefined && !allowInsecure && !isLoopback(listen.host))
    throw wrongSetting(
      "SOLARIS_LISTEN",
      "is open to other machines: set a certificate, or SOLARIS_ALLOW_INSECURE behind a proxy",
    );
  const url = read.optional("SOLARIS_DATABASE_URL");
  const servers = read.list("SOLARIS_NATS_URL");
  return {
    listen,
    tls,
    managementListen: read.optionalListen("SOLARIS_MANAGEMENT_LISTEN"),
    dataDirectory,
    keyFile: read.optional("SOLARIS_KEY_FILE") ?? `${dataDirectory}.key`,
    adminKeyFile: read.optional("SOLARIS_ADMIN_KEY_FILE") ?? `${dataDirectory}.admin-key`,
    database:
      url === undefined
        ? undefined
        : { url, authToken: read.secret("SOLARIS_DATABASE_TOKEN", "SOLARIS_DATABASE_TOKEN_FILE") },
    nats:
      servers.length === 0
        ? undefined
        : {
            servers,
            user: read.optional("SOLARIS_NATS_USER"),
            password: read.secret("SOLARIS_NATS_PASSWORD", "SOLARIS_NATS_PASSWORD_FILE"),
          },
    publishEvents: read.flag("SOLARIS_PUBLISH_EVENTS"),
    gateway: ownGateway(read, allowInsecure),
    retention: retentionOf(read.list("SOLARIS_RETENTION_DAYS")),
    logLevel: read.oneOf("SOLARIS_LOG_LEVEL", ["debug", "info", "warn", "error"]),
    logFormat: read.oneOf("SOLARIS_LOG_FORMAT", ["json", "text"]),
    commitDelayMs: read.integer("SOLARIS_BENCH_COMMIT_DELAY_MS", 0, 1_000),
    testConnectors: read.flag("SOLARIS_TEST_CONNECTORS"),
    environment,
  };
}

function ownGateway(read: Settings<Name>, allowInsecure: boolean): OwnGatewayConfig {
  const listen = read.listen("SOLARIS_GATEWAY_LISTEN");
  const tls = read.tls("SOLARIS_GATEWAY_TLS_CERT_FILE", "SOLARIS_GATEWAY_TLS_KEY_FILE");
  const trustedProxies = read.list("SOLARIS_GATEWAY_TRUSTED_PROXIES");
  if (tls === undefined && trustedProxies.length === 0 && !allowInsecure && !isLoopback(listen.host))
    throw wrongSetting(
      "SOLARIS_GATEWAY_LISTEN",
      "is open to other machines: set a certificate, trusted proxies or SOLARIS_ALLOW_INSECURE",
    );
  const origin = read.optional("SOLARIS_GATEWAY_ORIGIN");
  if (origin !== undefined && !(URL.canParse(origin) && new URL(origin).origin === origin.replace(/\/$/, "")))
    throw wrongSetting("SOLARIS_GATEWAY_ORIGIN", "must be an origin such as https://gateway.example.com");
  const outlets = read.hostRules("SOLARIS_GATEWAY_OUTLETS");
  return { listen, tls, trustedProxies, allowInsecure, outlets, origin: origin?.replace(/\/$/, "") };
}

function retentionOf(items: readonly string[]): Retention {
  const days = items.map((item): [string, number] => {
    const [name = "", value = ""] = item.split("=");
    return [`${name.trim()}Ms`, Number(value) * 86_400_000];
  });
  const parsed = retentionSchema.safeParse(Object.fromEntries(days));
  if (parsed.success) return parsed.data;
  throw wrongSetting("SOLARIS_RETENTION_DAYS", `does not fit: ${parsed.error.issues[0]?.message ?? ""}`);
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}
