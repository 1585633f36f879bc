import { Fault } from "#lib/fault";

/** A secret of the configuration: named by environment variable (nats-server reads it there), or as it is. */
export type ConfigSecret = { readonly env: string } | { readonly value: string };

/** What `solaris broker-config` needs to know. */
export interface BrokerConfigOptions {
  /** Version of the server that will read it, such as `2.9.10` or `nats-server: v2.11.3`. */
  readonly version: string;
  /** Where NATS clients of the server's own tools connect. Loopback unless you know why not. */
  readonly listen: { readonly host: string; readonly port: number };
  /** Where our programs connect. `tls`: paths of PEM files; without it the host must be loopback (a proxy ends TLS). */
  readonly websocket: {
    readonly host: string;
    readonly port: number;
    readonly tls?: { readonly certFile: string; readonly keyFile: string };
  };
  /** Folder of JetStream's files. */
  readonly storeDir: string;
  /** What JetStream may keep on disk and in memory. Defaults 8 GiB and 512 MiB. */
  readonly storeBytesMax?: number;
  readonly memoryBytesMax?: number;
  /** Key under which JetStream encrypts its files. */
  readonly storeKey: ConfigSecret;
  /** Passwords of the users `solaris`, `nexus`, `events` (reads what ingest stored) and `system` (monitoring). */
  readonly passwords: {
    readonly solaris: ConfigSecret;
    readonly nexus: ConfigSecret;
    readonly events?: ConfigSecret;
    readonly system?: ConfigSecret;
  };
}

const gibibyte = 1024 ** 3;
const loopback = /^(127(\.\d{1,3}){3}|localhost|::1)$/;

/**
 * The nats-server configuration that we ship and test with. Faults `config`: a version before 2.9 or none, a WebSocket without TLS off
 * loopback, a value that can't be written into the file.
 */
export function brokerConfig(options: BrokerConfigOptions): string {
  const { major, minor } = versionOf(options.version);
  if (major < 2 || (major === 2 && minor < 9)) throw new Fault("config", "nats-server 2.9 or newer is needed");
  const syncs = major > 2 || minor >= 10;
  const sync = syncs
    ? ["  # Acknowledge only what the disk has.", "  sync_interval: always"]
    : ["  # This version can't sync at every write: a power cut may lose what it acknowledged in the last 2 minutes."];
  return [
    `# nats-server ${major}.${minor}, written by solaris broker-config.`,
    `listen: ${text(`${host(options.listen.host)}:${options.listen.port}`)}`,
    "# A body is at most 1 MiB before sealing; sealed twice over in base64 it stays below this.",
    "max_payload: 4MB",
    "",
    ...websocket(options.websocket),
    "",
    "jetstream {",
    `  store_dir: ${text(options.storeDir)}`,
    `  max_file_store: ${options.storeBytesMax ?? 8 * gibibyte}`,
    `  max_memory_store: ${options.memoryBytesMax ?? gibibyte / 2}`,
    "  cipher: aes",
    `  key: ${secret(options.storeKey)}`,
    ...sync,
    "}",
    "",
    ...accounts(options.passwords),
    "",
  ].join("\n");
}

function websocket({ host: name, port, tls }: BrokerConfigOptions["websocket"]): string[] {
  if (tls === undefined && !loopback.test(name))
    throw new Fault("config", "a WebSocket off loopback needs TLS: name a certificate and its key");
  const security =
    tls === undefined
      ? ["  no_tls: true"]
      : ["  tls {", `    cert_file: ${text(tls.certFile)}`, `    key_file: ${text(tls.keyFile)}`, "  }"];
  // `port:` alone would listen on every interface.
  return ["websocket {", `  listen: ${text(`${host(name)}:${port}`)}`, ...security, "}"];
}

function accounts(passwords: BrokerConfigOptions["passwords"]): string[] {
  const users = [
    user("solaris", passwords.solaris, undefined),
    user("nexus", passwords.nexus, nexusPermissions),
    ...(passwords.events === undefined ? [] : [user("events", passwords.events, eventsPermissions)]),
  ];
  const system =
    passwords.system === undefined ? [] : [`    users: [ ${user("system", passwords.system, undefined)} ]`];
  return [
    "accounts {",
    "  MERCURY {",
    "    jetstream: enabled",
    "    users: [",
    ...users.map((line) => `      ${line}`),
    "    ]",
    "  }",
    "  SYS {",
    ...system,
    "  }",
    "}",
    "system_account: SYS",
  ];
}

interface Permissions {
  readonly publish: readonly string[];
  readonly publishNever: readonly string[];
  readonly subscribe: readonly string[];
}

/** Not `UP` nor `EVENTS`: what a Nexus read there would be another customer's. No stream on disk is made, changed or emptied by it. */
const nexusPermissions: Permissions = {
  publish: [
    "up.>",
    "node.*",
    "agent.*.*",
    "session.*",
    "gateways",
    "relay.*",
    "lease.*",
    "$JS.API.STREAM.LIST",
    "$JS.API.STREAM.CREATE.NODE",
    "$JS.API.STREAM.CREATE.AGENT",
    "$JS.API.STREAM.INFO.*",
    "$JS.API.STREAM.MSG.GET.*",
    "$JS.API.CONSUMER.CREATE.*.>",
    "$JS.API.CONSUMER.DELETE.*.*",
    "$JS.API.CONSUMER.NAMES.*",
    "$JS.API.CONSUMER.MSG.NEXT.*.*",
    "$JS.ACK.>",
  ],
  publishNever: ["UP", "EVENTS"].flatMap((stream) => [
    `$JS.API.STREAM.MSG.GET.${stream}`,
    `$JS.API.CONSUMER.CREATE.${stream}.>`,
    `$JS.API.CONSUMER.DELETE.${stream}.*`,
    `$JS.API.CONSUMER.MSG.NEXT.${stream}.*`,
    `$JS.ACK.${stream}.>`,
  ]),
  subscribe: [
    "_INBOX_nexus.>",
    "$JS.EVENT.ADVISORY.CONSUMER.DELETED.>",
    "desired.*",
    "command.*",
    "revocations",
    "session.*",
    "gateways",
    "relay.*",
    "node.*",
    "agent.*.*",
  ],
};

const eventsPermissions: Permissions = {
  publish: [
    "$JS.API.INFO",
    "$JS.API.STREAM.INFO.EVENTS",
    "$JS.API.CONSUMER.CREATE.EVENTS.>",
    "$JS.API.CONSUMER.DURABLE.CREATE.EVENTS.*",
    "$JS.API.CONSUMER.INFO.EVENTS.*",
    "$JS.API.CONSUMER.DELETE.EVENTS.*",
    "$JS.API.CONSUMER.MSG.NEXT.EVENTS.*",
    "$JS.ACK.EVENTS.>",
  ],
  publishNever: [],
  subscribe: ["_INBOX_events.>"],
};

function user(name: string, password: ConfigSecret, permissions: Permissions | undefined): string {
  const list = (subjects: readonly string[]) => `[${subjects.map((subject) => text(subject)).join(", ")}]`;
  const deny = permissions?.publishNever.length ? `, deny: ${list(permissions.publishNever)}` : "";
  const rights =
    permissions === undefined
      ? ""
      : `, permissions: { publish: { allow: ${list(permissions.publish)}${deny} }, subscribe: ${list(permissions.subscribe)} }`;
  return `{ user: ${name}, password: ${secret(password)}${rights} }`;
}

function secret(value: ConfigSecret): string {
  if ("value" in value) return text(value.value);
  if (!/^[A-Z][A-Z0-9_]*$/.test(value.env)) throw new Fault("config", "not the name of an environment variable");
  return `$${value.env}`;
}

function host(name: string): string {
  return name.includes(":") ? `[${name}]` : name;
}

/** A quoted text. Fault `config` for what could end it or begin another setting. */
function text(value: string): string {
  const bad = [...value].some((character) => character < " " || '"\\'.includes(character));
  if (bad)
    throw new Fault("config", "a value of the broker's configuration has a quote, backslash or control character");
  return `"${value}"`;
}

function versionOf(version: string): { major: number; minor: number } {
  const [, major, minor] = /(\d+)\.(\d+)/.exec(version) ?? [];
  if (major === undefined || minor === undefined) throw new Fault("config", "not a version of nats-server");
  return { major: Number(major), minor: Number(minor) };
}
