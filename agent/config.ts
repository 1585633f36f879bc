/** Settings of a Mercury: the only reader of the environment in this program. */
import { Fault } from "#lib/fault";
import type { LogLevel } from "#lib/log";
import { paths } from "#lib/runtime";
import type { ProxySettings } from "./network/proxy.ts";

/** Everything that Mercury is told from outside before it runs. */
export interface AgentConfig {
  /** Holds `mercury.db`, `site.json`, `mercury.sock`, `connect.sock`, `lock.db`. */
  readonly dataDirectory: string;
  /** The site's own list. */
  readonly siteFile: string;
  /** Key file of the store, the last of the places where its key is looked for; outside the data directory. */
  readonly keyFile: string;
  /** The environment as `findKey` looks at it. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** An enrollment token; undefined when none is given here. */
  readonly token: string | undefined;
  readonly tokenFile: string | undefined;
  readonly proxies: ProxySettings;
  /** PEM file of authorities trusted besides the system's. */
  readonly caFile: string | undefined;
  /** Whether tunnels without TLS may leave this machine: for tests only. */
  readonly allowInsecure: boolean;
  readonly logLevel: LogLevel;
  readonly logFormat: "json" | "text" | undefined;
  /** Whether connector types for tests and benchmarks may run. */
  readonly testConnectors: boolean;
  /** Benchmarks only: added to every commit, ms. */
  readonly commitDelayMs: number;
}

/** Every variable, as `mercury --help` shows it. */
export const variables = [
  { name: "MERCURY_DATA", text: "data directory" },
  { name: "MERCURY_TOKEN", text: "enrollment token (MERCURY_TOKEN_FILE: a file that holds it)" },
  { name: "MERCURY_STORE_KEY", text: "key of the store, at least 32 characters" },
  { name: "MERCURY_KEY_FILE", text: "file with the key of the store, outside the data directory" },
  { name: "MERCURY_SITE_FILE", text: "the site's own list, where it is not site.json in the data directory" },
  {
    name: "HTTPS_PROXY, HTTP_PROXY",
    text: "proxy of this site, with user and password if it wants them: to the cloud, and for http plugins",
  },
  { name: "NO_PROXY", text: "what is reached without it: hosts, .suffix, host:port, IPv4 ranges a.b.c.d/n, or *" },
  { name: "MERCURY_CA_FILE", text: "PEM file of authorities to trust besides the system's" },
  { name: "MERCURY_LOG_LEVEL", text: "debug, info, warn or error" },
  { name: "MERCURY_LOG_FORMAT", text: "json or text" },
  { name: "MERCURY_ALLOW_INSECURE", text: "yes = tunnels without TLS may leave this machine; for tests only" },
] as const;

/** Variables by which a runtime sends everything through a proxy. */
export const proxyVariables = [
  "HTTPS_PROXY",
  "https_proxy",
  "HTTP_PROXY",
  "http_proxy",
  "ALL_PROXY",
  "all_proxy",
  "NO_PROXY",
  "no_proxy",
] as const;

/** What a machine's platform says about where things belong. */
export interface Place {
  /** Like `linux-x64`. */
  readonly platform: string;
  readonly isRoot: boolean;
}

/** The settings in `environment`; `dataDirectory` from the command line comes first. Fault `config`, without values. */
export function readConfig(
  environment: Readonly<Record<string, string | undefined>>,
  place: Place,
  dataDirectory?: string,
): AgentConfig {
  const text = (name: string) => environment[name]?.trim() || undefined;
  const oneOf = <T extends string>(name: string, allowed: readonly T[]): T | undefined => {
    const value = text(name);
    if (value === undefined) return undefined;
    const found = allowed.find((one) => one === value);
    if (found === undefined) throw new Fault("config", `${name} must be one of ${allowed.join(", ")}`);
    return found;
  };
  const defaults = defaultPaths(environment, place);
  const data = paths.resolve(dataDirectory ?? text("MERCURY_DATA") ?? defaults.data);
  const delay = Number(text("MERCURY_TEST_COMMIT_DELAY_MS") ?? 0);
  return {
    dataDirectory: data,
    siteFile: text("MERCURY_SITE_FILE") ?? paths.join(data, "site.json"),
    keyFile: text("MERCURY_KEY_FILE") ?? keyFileFor(data, defaults),
    environment,
    token: text("MERCURY_TOKEN"),
    tokenFile: text("MERCURY_TOKEN_FILE"),
    proxies: {
      https: text("HTTPS_PROXY") ?? text("https_proxy"),
      http: text("HTTP_PROXY") ?? text("http_proxy"),
      none: text("NO_PROXY") ?? text("no_proxy"),
    },
    caFile: text("MERCURY_CA_FILE") ?? text("SSL_CERT_FILE"),
    allowInsecure: oneOf("MERCURY_ALLOW_INSECURE", ["yes", "no"]) === "yes",
    logLevel: oneOf("MERCURY_LOG_LEVEL", ["debug", "info", "warn", "error"]) ?? "info",
    logFormat: oneOf("MERCURY_LOG_FORMAT", ["json", "text"]),
    testConnectors: oneOf("MERCURY_TEST_CONNECTORS", ["yes", "no"]) === "yes",
    commitDelayMs: Number.isFinite(delay) && delay >= 0 && delay <= 1_000 ? delay : 0,
  };
}

interface DefaultPaths {
  readonly data: string;
  readonly keys: string;
}

function defaultPaths(environment: Readonly<Record<string, string | undefined>>, place: Place): DefaultPaths {
  const home = environment.HOME ?? environment.USERPROFILE ?? ".";
  if (place.platform.startsWith("win32")) {
    const base = environment.ProgramData ?? environment.LOCALAPPDATA ?? home;
    return { data: paths.join(base, "Mercury", "data"), keys: paths.join(base, "Mercury", "keys") };
  }
  if (place.isRoot) return { data: "/var/lib/mercury", keys: "/etc/mercury" };
  if (place.platform.startsWith("darwin")) {
    const base = paths.join(home, "Library", "Application Support", "Mercury");
    return { data: paths.join(base, "data"), keys: paths.join(base, "keys") };
  }
  const share = environment.XDG_DATA_HOME ?? paths.join(home, ".local", "share");
  const config = environment.XDG_CONFIG_HOME ?? paths.join(home, ".config");
  return { data: paths.join(share, "mercury"), keys: paths.join(config, "mercury") };
}

/** One key file for each data directory: two agents of one user must not share a key by accident. */
function keyFileFor(data: string, defaults: DefaultPaths): string {
  const name = data === defaults.data ? "store" : data.replace(/[^A-Za-z0-9]+/g, "-").replace(/^-|-$/g, "");
  return paths.join(defaults.keys, `${name}.key`);
}
