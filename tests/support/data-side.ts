import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Hono } from "hono";
import { type Broker, embeddedBroker, natsBroker } from "#lib/broker";
import { utf8 } from "#lib/bytes";
import { type CryptoSuite, webSuite } from "#lib/crypto";
import { createIdentity, type NodeKeys, nodeKeys } from "#lib/identity";
import { type Kms, openLocalKms } from "#lib/kms";
import { makeLog, silentLog } from "#lib/log";
import { type Database, migrate, openDatabase, systemClock, systemRandom } from "#lib/runtime";
import { encodeEntry, type UpEntry, type UpMessage } from "#lib/session";
import type { Principal } from "../../control/access/principal.ts";
import { agentIdentities, agents } from "../../control/agents/tables.ts";
import { type ApiEnv, makeApi, requestIds, type SliceDeps } from "../../control/api/index.ts";
import { makeAuditLog } from "../../control/audit/index.ts";
import { type Authority, openAuthority } from "../../control/authority/index.ts";
import { customers, licences } from "../../control/customers/index.ts";
import { makeDb, makeNewId, makeSeals, type Sealed } from "../../control/db/index.ts";
import { type Messaging, type MessagingDeps, openMessaging } from "../../control/messaging.ts";
import { defaultRetention } from "../../control/retention/index.ts";
import { brokerMigrations } from "../../migrations/broker/index.ts";
import { solarisMigrations } from "../../migrations/solaris/index.ts";

const encryptionKey = "0123456789abcdef0123456789abcdef";
const hourMs = 3_600_000;

/** One replica of Solaris' data side, without a socket. */
export interface Replica extends AsyncDisposable {
  readonly deps: MessagingDeps;
  readonly broker: Broker;
  readonly kms: Kms;
  readonly authority: Authority;
  readonly messaging: Messaging;
  readonly api: Hono<ApiEnv>;
  /** A request by the platform's key, or by `key`. */
  call(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Response>;
}

export interface DataSideOptions {
  /** Replaces parts of what messaging is built on. */
  readonly change?: (deps: MessagingDeps) => Partial<MessagingDeps>;
  readonly log?: boolean;
  /** Address and password of a nats-server; without it the broker is embedded. */
  readonly nats?: { readonly url: string; readonly password: string };
}

/** The files that replicas share. */
export class DataSide implements AsyncDisposable {
  readonly #folder: string;
  readonly suite: CryptoSuite;
  readonly #open = new Set<AsyncDisposable>();

  private constructor(folder: string, suite: CryptoSuite) {
    this.#folder = folder;
    this.suite = suite;
  }

  static async make(): Promise<DataSide> {
    return new DataSide(await mkdtemp(join(tmpdir(), "data-side-")), webSuite);
  }

  async replica(name = "one", options: DataSideOptions = {}): Promise<Replica> {
    const database = await this.#database("solaris.db");
    await migrate(database, solarisMigrations);
    const brokerFile = await this.#database("broker.db");
    await migrate(brokerFile, brokerMigrations);
    const kmsFile = await this.#database("kms.db");
    const log = options.log === true ? makeLog((...record) => console.error(...record)) : silentLog;
    const common = { clock: systemClock, random: systemRandom, suite: this.suite, log };
    const { nats } = options;
    const broker =
      nats === undefined
        ? await embeddedBroker({ ...common, database: brokerFile, pollIntervalMs: 10 })
        : await natsBroker({
            ...common,
            servers: [nats.url],
            user: "solaris",
            password: nats.password,
            name,
            provision: true,
          });
    const kms = await openLocalKms({
      ...common,
      database: kmsFile,
      keyEncryptionKey: new Uint8Array(32).fill(7),
      audit: async () => undefined,
    });
    const db = makeDb(database);
    const authority = await openAuthority({ ...common, db, kms });
    const slice: SliceDeps = {
      ...common,
      db,
      seals: makeSeals(kms),
      audit: makeAuditLog({ ...common, db }),
      newId: makeNewId(systemClock, systemRandom),
    };
    const fixed = { retention: defaultRetention, replica: name, testConnectors: false, publishEvents: false };
    const built = { ...slice, ...fixed, broker, signer: authority.signer };
    const deps = { ...built, ...options.change?.(built) };
    const messaging = await openMessaging(deps);
    const routes = makeApi({
      findPrincipal: async (key) => principals.get(key),
      log,
      version: "test",
      bodyBytesMax: 9 * 2 ** 20,
      slices: messaging.slices,
    });
    const api = new Hono<ApiEnv>().use(requestIds(systemRandom)).route("/", routes);
    const open = this.#open;
    const replica: Replica = {
      deps,
      broker,
      kms,
      authority,
      messaging,
      api,
      call: async (method, path, body, headers = {}) =>
        api.request(`/api/v1${path}`, {
          method,
          headers: {
            authorization: "Bearer platform",
            ...(body === undefined || body instanceof Uint8Array ? {} : { "content-type": "application/json" }),
            ...headers,
          },
          ...(body === undefined
            ? {}
            : {
                body:
                  body instanceof Uint8Array
                    ? new Uint8Array(body)
                    : typeof body === "string"
                      ? body
                      : JSON.stringify(body),
              }),
        }),
      async [Symbol.asyncDispose]() {
        if (!open.delete(replica)) return;
        await messaging[Symbol.asyncDispose]();
        await broker[Symbol.asyncDispose]();
        await kms[Symbol.asyncDispose]();
        for (const file of [database, brokerFile, kmsFile]) await file[Symbol.asyncDispose]();
      },
    };
    this.#open.add(replica);
    return replica;
  }

  #database(name: string): Promise<Database> {
    return openDatabase({ path: join(this.#folder, name), encryptionKey });
  }

  async [Symbol.asyncDispose]() {
    for (const replica of [...this.#open]) await replica[Symbol.asyncDispose]();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

const customerScopes: Principal["scopes"] = [
  "messages:read",
  "messages:write",
  "plugins:read",
  "plugins:write",
  "portals:read",
  "portals:write",
  "policies:read",
  "policies:write",
  "agents:read",
  "commands:write",
];

const principals = new Map<string, Principal>([
  ["platform", { keyId: "key_platform", scopes: ["*"], customerId: null }],
  [
    "acme",
    {
      keyId: "key_acme",
      scopes: customerScopes,
      customerId: "cus_acme",
    },
  ],
  [
    "other",
    {
      keyId: "key_other",
      scopes: customerScopes,
      customerId: "cus_other",
    },
  ],
  ["reader", { keyId: "key_reader", scopes: ["messages:read", "plugins:read"], customerId: "cus_acme" }],
]);

/** A customer with a licence; ids follow from `name`. */
export async function addCustomer({ deps }: Replica, name: string, rateLimitRpm = 1_000_000): Promise<void> {
  const now = deps.clock.now();
  const seal = (await deps.seals.seal(licences.key, `lic_${name}`, utf8(name))) as Sealed;
  await deps.db.write(
    deps.db.query.insert(customers).values({ id: `cus_${name}`, name, note: "", createdAt: now, version: 1 }),
    deps.db.query.insert(licences).values({
      id: `lic_${name}`,
      customerId: `cus_${name}`,
      name,
      keyHash: await deps.suite.sha256(utf8(name)),
      key: seal,
      tier: "test",
      capabilities: [],
      rateLimitRpm,
      backendAccess: [],
      attributes: {},
      validFrom: 0,
      validUntil: null,
      suspendedAt: null,
      suspendedReason: null,
      createdAt: now,
      version: 1,
    }),
  );
}

export async function addAgent({ deps }: Replica, customer: string, id: string): Promise<void> {
  await deps.db.write(
    deps.db.query.insert(agents).values({
      id,
      customerId: `cus_${customer}`,
      licenceId: `lic_${customer}`,
      name: id,
      role: "edge",
      attributes: {},
      copyPolicy: "reject",
      identifier: null,
      heldAt: null,
      createdAt: deps.clock.now(),
      createdBy: "test",
      revokedAt: null,
      revokedReason: null,
      version: 1,
    }),
  );
}

/** Enrolls an agent as the enrollment slice would, without the exchange; resolves with its keys. */
export async function enrollAgent({ deps }: Replica, agentId: string): Promise<NodeKeys> {
  const own = await createIdentity(deps.suite, deps.random, { now: deps.clock.now(), lifeMs: hourMs });
  const keys = await nodeKeys(deps.suite, own.secrets, own.identity);
  const { identifier, chain, last } = keys.identity;
  await deps.db.write(
    deps.db.query.insert(agentIdentities).values({
      identifier,
      agentId,
      tokenId: "tok_test",
      chain,
      kid: last.hash,
      x25519: new Uint8Array(last.x25519),
      formerKid: null,
      formerX25519: null,
      kmsKey: `agent/${agentId}`,
      solarisKey: new Uint8Array(32),
      enrolledAt: deps.clock.now(),
      openedAt: null,
      expiresAt: last.expiresMs,
      revokedAt: null,
      revokedReason: null,
      version: 1,
    }),
    { sql: "UPDATE agents SET identifier = ? WHERE id = ?", params: [identifier, agentId] },
  );
  return keys;
}

/** A `file` plugin that is good for both directions. */
export const filePlugin = { type: "file", config: { down: { directory: "/srv/in" }, up: { directory: "/srv/out" } } };

export async function addPlugin(replica: Replica, agentId: string, plugin: string, wanted: unknown = filePlugin) {
  const answer = await replica.call("PUT", `/agents/${agentId}/plugins/${plugin}`, wanted);
  if (answer.status !== 200) throw new TypeError(`no plugin: ${await answer.text()}`);
}

/** Publishes an up entry as Nexus would. */
export function sendUp(
  { broker }: Replica,
  agent: string,
  entry: Omit<UpEntry, "v" | "messages"> & { messages: readonly Partial<UpMessage>[] },
  id: string = crypto.randomUUID(),
) {
  const messages = entry.messages.map((message, index) => ({
    kind: "data" as const,
    id: `m${entry.generation}-${entry.first + index}`,
    time: 1_700_000_000_000,
    body: utf8("{}"),
    ...message,
  }));
  const bytes = encodeEntry({ v: 1, ...entry, messages });
  return broker.publish({ kind: "up", agent, plugin: entry.plugin }, bytes, id);
}

/** Reads down entries as Nexus would, and confirms them; resolves with the entries once `count` have come. */
export async function readDown({ broker }: Replica, agent: string, plugin: string, count: number) {
  const entries: { seq: number; created: string; bytes: Uint8Array }[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  let confirm = (_seq: number): void => undefined;
  const source = await broker.open(
    { kind: "down", agent, plugin },
    {
      onEntry(entry) {
        entries.push(entry);
        confirm(entry.seq);
        if (entries.length >= count) resolve();
      },
      onClosed: () => undefined,
    },
  );
  confirm = (seq) => source.confirm(seq);
  for (const { seq } of entries) source.confirm(seq);
  await promise;
  await source.close();
  return entries;
}
