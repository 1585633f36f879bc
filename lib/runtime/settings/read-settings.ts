import { Fault } from "#lib/fault";
import { checkHostRule } from "#lib/hosts";

/** One environment variable of a program: what `--help` shows of it. */
export interface Variable<Name extends string = string> {
  readonly name: Name;
  readonly text: string;
  /** What counts when it is not set; absent = it must be set, or is optional by its text. */
  readonly fallback?: string;
}

/** Where to listen. */
export interface Listen {
  readonly host: string;
  /** 0 = any free one. */
  readonly port: number;
}

/** PEM texts. */
export interface Tls {
  readonly cert: string;
  readonly key: string;
}

/** Variables of one program as values. Every method: Fault `config`, naming the variable and never its value. */
export interface Settings<Name extends string> {
  /** Trimmed; undefined when it is not set, is empty, and has no fallback. */
  optional(name: Name): string | undefined;
  required(name: Name): string;
  /** The value itself, or the first line of the file that the other variable names. */
  secret(name: Name, fileName: Name): string | undefined;
  oneOf<T extends string>(name: Name, allowed: readonly T[]): T;
  /** `yes` or `no`. */
  flag(name: Name): boolean;
  integer(name: Name, min: number, max: number): number;
  /** What stands between commas; empty without a value. */
  list(name: Name): string[];
  /** The same, each a line of a list of hosts (`HostRules`). */
  hostRules(name: Name): string[];
  /** `host:port` or `[v6]:port`; undefined when it is not set. */
  optionalListen(name: Name): Listen | undefined;
  listen(name: Name): Listen;
  /** The texts of two files that are named together, or not at all. */
  tls(certName: Name, keyName: Name): Tls | undefined;
}

export interface SettingsSource<Name extends string> {
  /** Every variable that may be set under `prefix`. */
  readonly variables: readonly Variable<Name>[];
  /** Such as `NEXUS_`: another name that begins so is a mistake. */
  readonly prefix: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Reads a file that a variable names. */
  readonly readText: (path: string) => string;
}

/** Fault `config` about one variable. */
export function wrongSetting(name: string, what: string): Fault {
  return new Fault("config", `${name} ${what}`, { detail: { variable: name } });
}

/** The table of variables as `--help` shows it. */
export function settingsText(variables: readonly Variable[]): string {
  const width = Math.max(...variables.map(({ name }) => name.length));
  return variables
    .map(({ name, text, fallback }) => `  ${name.padEnd(width)}  ${text}${fallback ? ` [${fallback}]` : ""}`)
    .join("\n");
}

/** What the environment says. Fault `config` for a name under the prefix that is no variable. */
export function readSettings<Name extends string>(source: SettingsSource<Name>): Settings<Name> {
  const { environment, prefix, readText } = source;
  const variables = new Map<string, Variable>(source.variables.map((variable) => [variable.name, variable]));
  for (const name of Object.keys(environment))
    if (name.startsWith(prefix) && !variables.has(name)) throw wrongSetting(name, "is not a variable of this program");

  const optional = (name: Name) => environment[name]?.trim() || variables.get(name)?.fallback || undefined;
  const required = (name: Name) => {
    const value = optional(name);
    if (value === undefined) throw wrongSetting(name, "must be set");
    return value;
  };
  const file = (name: Name) => {
    const path = optional(name);
    if (path === undefined) return undefined;
    try {
      return readText(path);
    } catch (cause) {
      throw new Fault("config", `${name} names a file that can't be read`, { cause, detail: { variable: name } });
    }
  };
  const oneOf = <T extends string>(name: Name, allowed: readonly T[]): T => {
    const value = allowed.find((one) => one === required(name));
    if (value === undefined) throw wrongSetting(name, `must be one of ${allowed.join(", ")}`);
    return value;
  };
  const list = (name: Name) => (optional(name) ?? "").split(",").flatMap((item) => item.trim() || []);
  return {
    optional,
    required,
    oneOf,
    secret: (name, fileName) => optional(name) ?? file(fileName)?.split(/\r?\n/, 1)[0]?.trim(),
    flag: (name) => oneOf(name, ["yes", "no"]) === "yes",
    integer(name, min, max) {
      const value = Number(required(name));
      if (!Number.isInteger(value) || value < min || value > max) throw wrongSetting(name, `must be ${min} to ${max}`);
      return value;
    },
    list,
    hostRules(name) {
      const lines = list(name);
      for (const line of lines) demandHostRule(name, line);
      return lines;
    },
    optionalListen: (name) => (optional(name) === undefined ? undefined : listenOf(name, required(name))),
    listen: (name) => listenOf(name, required(name)),
    tls(certName, keyName) {
      const [cert, key] = [file(certName), file(keyName)];
      if (cert === undefined && key === undefined) return undefined;
      if (cert === undefined) throw wrongSetting(certName, `must be set together with ${keyName}`);
      if (key === undefined) throw wrongSetting(keyName, `must be set together with ${certName}`);
      return { cert, key };
    },
  };
}

function demandHostRule(name: string, line: string): void {
  try {
    checkHostRule(line);
  } catch (cause) {
    if (cause instanceof Fault) throw wrongSetting(name, `has an item that is ${cause.message}`);
    throw cause;
  }
}

function listenOf(name: string, text: string): Listen {
  const parts = /^(?:\[([0-9a-fA-F:]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  const host = parts?.[1] ?? parts?.[2];
  const port = Number(parts?.[3]);
  if (host === undefined || !(port <= 65_535))
    throw wrongSetting(name, "must be an address and a port, such as 127.0.0.1:8080");
  return { host, port };
}
