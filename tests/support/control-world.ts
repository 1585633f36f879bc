import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Broker, embeddedBroker } from "#lib/broker";
import { base64url, fromUtf8 } from "#lib/bytes";
import type { Clock } from "#lib/clock";
import { webSuite } from "#lib/crypto";
import { createIdentity, type NodeKeys, nodeKeys, type OwnIdentity, verifyIdentity } from "#lib/identity";
import { type KmsEvent, type LocalKms, openLocalKms } from "#lib/kms";
import { type Log, silentLog } from "#lib/log";
import { type Database, migrate, openDatabase, systemClock, systemRandom } from "#lib/runtime";
import type { AuthorizeAnswer } from "#lib/session";
import {
  decodeEnrollmentToken,
  type Enrollment,
  type HeaderKeys,
  headerKeys,
  makeAuthorization,
  makeEnrollmentRequest,
  verifyEnrollment,
  verifyTokenAuthority,
} from "#lib/statement";
import { createFirstKey } from "../../control/access/index.ts";
import { createSolaris, type Solaris } from "../../control/app.ts";
import { countKmsUse } from "../../control/audit/index.ts";
import { makeDb } from "../../control/db/index.ts";
import { solarisMetrics } from "../../control/metrics.ts";
import { defaultRetention } from "../../control/retention/index.ts";
import { brokerMigrations } from "../../migrations/broker/index.ts";
import { solarisMigrations } from "../../migrations/solaris/index.ts";

const encryptionKey = "a passphrase of the tests";

/** An answer of one of Solaris' surfaces. */
export interface Answered {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: tests read answers by path
  readonly json: any;
  readonly headers: Headers;
}

/** A whole Solaris in this process, over real databases in a folder of its own, without a socket. */
export class ControlWorld implements AsyncDisposable {
  readonly #stack: AsyncDisposableStack;
  readonly folder: string;
  readonly database: Database;
  readonly kms: LocalKms;
  readonly broker: Broker;
  readonly solaris: Solaris;
  /** Every act on a key in KMS, as it was told to the audit. */
  readonly kmsEvents: readonly KmsEvent[];
  readonly clock: ShiftedClock;
  readonly adminKey: string;
  /** Key, id and replica identity of the gateway that `nexus` asks as. */
  gatewayKey = "";
  gatewayId = "";
  replica: OwnIdentity | undefined;
  static readonly origin = "https://gateway.test";

  private constructor(stack: AsyncDisposableStack, parts: Omit<ControlWorldParts, "stack">) {
    this.#stack = stack;
    this.folder = parts.folder;
    this.database = parts.database;
    this.kms = parts.kms;
    this.broker = parts.broker;
    this.solaris = parts.solaris;
    this.kmsEvents = parts.kmsEvents;
    this.clock = parts.clock;
    this.adminKey = parts.adminKey;
  }

  /** A new Solaris with one gateway that has one replica. */
  static async start(
    options: { readonly log?: Log; readonly folder?: string; readonly publishEvents?: boolean } = {},
  ): Promise<ControlWorld> {
    const { log = silentLog } = options;
    await using stack = new AsyncDisposableStack();
    const folder = options.folder ?? mkdtempSync(join(tmpdir(), "control-"));
    stack.defer(() => rmSync(folder, { recursive: true, force: true }));
    const open = async (name: string) =>
      stack.use(await openDatabase({ path: join(folder, `${name}.db`), encryptionKey }));
    const [database, kmsDatabase, brokerDatabase] = [await open("solaris"), await open("kms"), await open("broker")];
    await migrate(database, solarisMigrations);
    await migrate(brokerDatabase, brokerMigrations);
    const clock = new ShiftedClock();
    const db = makeDb(database);
    const kmsEvents: KmsEvent[] = [];
    const kms = stack.use(
      await openLocalKms({
        suite: webSuite,
        random: systemRandom,
        clock,
        database: kmsDatabase,
        keyEncryptionKey: new Uint8Array(32).fill(1),
        audit: async (event) => {
          kmsEvents.push(event);
          await db.write(countKmsUse(event, clock.now()));
        },
      }),
    );
    const broker = stack.use(await embeddedBroker({ database: brokerDatabase, clock, log }));
    const made = { database, kms, broker, suite: webSuite, clock, random: systemRandom, log, version: "0" };
    const fixed = {
      metrics: solarisMetrics(db),
      retention: defaultRetention,
      publicMetrics: true,
      replica: "test",
      testConnectors: false,
      publishEvents: options.publishEvents ?? false,
    };
    const solaris = stack.use(await createSolaris({ ...made, ...fixed }));
    const adminKey = (await createFirstKey(solaris.slices)) ?? "";
    const world = new ControlWorld(stack.move(), { ...made, folder, kmsEvents, solaris, adminKey });
    await world.#addGateway();
    return world;
  }

  async #addGateway(): Promise<void> {
    const made = await this.api("POST", "/gateways", { name: "public", origins: [ControlWorld.origin] });
    this.gatewayKey = made.json.key;
    this.gatewayId = made.json.gateway.id;
    this.replica = await this.startReplica(this.gatewayKey);
  }

  /** A new replica under this gateway key. */
  async startReplica(key: string): Promise<OwnIdentity> {
    const replica = await createIdentity(webSuite, systemRandom, { now: this.clock.now() });
    const body = { version: "0", chain: base64url(replica.chain), hostname: "nexus-test" };
    const answer = await this.nexus("POST", "start", body, key);
    if (answer.status !== 200) throw new RangeError(`a replica was not started: ${JSON.stringify(answer.json)}`);
    return replica;
  }

  /** Asks `/api/v1`. */
  async api(
    method: string,
    path: string,
    body?: unknown,
    options: { readonly key?: string | null; readonly headers?: Record<string, string> } = {},
  ): Promise<Answered> {
    const { key = this.adminKey } = options;
    return this.#ask(method, `/api/v1${path}`, body, {
      ...(key === null ? {} : { authorization: `Bearer ${key}` }),
      ...options.headers,
    });
  }

  /** Asks `/nexus/v1`. */
  nexus(method: string, path: string, body?: unknown, key: string = this.gatewayKey): Promise<Answered> {
    return this.#ask(method, `/nexus/v1/${path}`, body, { authorization: `Bearer ${key}` });
  }

  async #ask(method: string, path: string, body: unknown, headers: Record<string, string>): Promise<Answered> {
    const init =
      body === undefined
        ? { method, headers }
        : { method, headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(body) };
    const response = await this.solaris.fetch(new Request(`http://solaris.test${path}`, init));
    const text = await response.text();
    const isJson = (response.headers.get("content-type") ?? "").includes("json") && !text.includes("}\n{");
    return {
      status: response.status,
      json: isJson && text !== "" ? JSON.parse(text) : text,
      headers: response.headers,
    };
  }

  /** A customer with one licence. */
  async customer(name = "Acme", licence: Record<string, unknown> = {}): Promise<{ id: string; licenceId: string }> {
    const { json } = await this.api("POST", "/customers", { name });
    const made = await this.api("POST", `/customers/${json.id}/licences`, {
      name: "standard",
      tier: "gold",
      ...licence,
    });
    return { id: json.id, licenceId: made.json.licence.id };
  }

  /** An agent of the customer that is not enrolled yet. */
  async agent(customerId: string, fields: Record<string, unknown> = {}): Promise<{ id: string; token: string }> {
    const name = `agent ${base64url(systemRandom(6))}`;
    const { status, json } = await this.api("POST", "/agents", { customerId, name, ...fields });
    if (status !== 201) throw new RangeError(`an agent was not made: ${JSON.stringify(json)}`);
    return { id: json.agent.id, token: json.token };
  }

  /** An agent that has redeemed its token. */
  async enrolled(customerId: string, fields: Record<string, unknown> = {}): Promise<TestAgent> {
    const { id, token } = await this.agent(customerId, fields);
    const agent = await TestAgent.make(this, id);
    await agent.enroll(token);
    return agent;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

interface ControlWorldParts {
  readonly folder: string;
  readonly database: Database;
  readonly kms: LocalKms;
  readonly broker: Broker;
  readonly solaris: Solaris;
  readonly kmsEvents: readonly KmsEvent[];
  readonly clock: ShiftedClock;
  readonly adminKey: string;
}

/** The machine's clock, which a test can move. Timers run as they are. */
export class ShiftedClock implements Clock {
  shiftMs = 0;
  /** For what is remembered for a while. */
  monotonicShiftMs = 0;
  now = () => systemClock.now() + this.shiftMs;
  monotonic = () => systemClock.monotonic() + this.monotonicShiftMs;
  after = (delayMs: number, act: () => void) => systemClock.after(delayMs, act);
}

/** What a test may twist in a header. */
export interface HeaderTwist {
  readonly slot?: 0 | 1;
  readonly aud?: string;
  readonly now?: number;
  readonly kid?: string;
  readonly continuity?: Uint8Array | null;
}

/** A Mercury as Solaris sees it: identity, enrollment, headers. */
export class TestAgent {
  readonly world: ControlWorld;
  readonly id: string;
  own: OwnIdentity;
  keys: NodeKeys;
  enrollment: Enrollment | undefined;
  /** Continuity value stored per slot. */
  readonly continuity = new Map<0 | 1, Uint8Array>();

  private constructor(world: ControlWorld, id: string, own: OwnIdentity, keys: NodeKeys) {
    this.world = world;
    this.id = id;
    this.own = own;
    this.keys = keys;
  }

  static async make(world: ControlWorld, id: string): Promise<TestAgent> {
    const own = await createIdentity(webSuite, systemRandom, { now: world.clock.now() });
    return new TestAgent(world, id, own, await nodeKeys(webSuite, own.secrets, own.identity));
  }

  get identifier(): string {
    return this.own.identity.identifier;
  }

  /** The sealed request that redeems `token`. */
  async enrollmentRequest(token: string): Promise<string> {
    const { authority } = (await this.world.nexus("GET", "authority")).json;
    const decoded = await decodeEnrollmentToken(webSuite, token);
    const chain = Buffer.from(authority, "base64url");
    const verified = await verifyTokenAuthority(webSuite, decoded, chain, this.world.clock.now());
    const host = { version: "1.2.3", platform: "linux-x64", hostname: "site-host" };
    return makeEnrollmentRequest(webSuite, systemRandom, {
      token: decoded,
      authority: verified,
      keys: this.keys,
      host,
    });
  }

  /** Redeems `token`; the answer as Nexus gets it. */
  async tryEnroll(token: string, address = "192.0.2.7"): Promise<Answered> {
    const request = await this.enrollmentRequest(token);
    return this.world.nexus("POST", "enroll", { request, address });
  }

  /** Redeems `token` and keeps what comes back. */
  async enroll(token: string): Promise<Enrollment> {
    const { status, json } = await this.tryEnroll(token);
    if (status !== 200) throw new RangeError(`not enrolled: ${JSON.stringify(json)}`);
    this.enrollment = await this.readEnrollment(token, json.answer);
    return this.enrollment;
  }

  async readEnrollment(token: string, answer: string): Promise<Enrollment> {
    const { tokenId } = await decodeEnrollmentToken(webSuite, token);
    const authority = await this.authority();
    const subject = this.own.identity;
    const jws = fromUtf8(await this.keys.unseal(answer));
    return verifyEnrollment(webSuite, jws, { authority, tokenId, subject, now: this.world.clock.now() });
  }

  async authority() {
    const { authority } = (await this.world.nexus("GET", "authority")).json;
    return verifyIdentity(webSuite, Buffer.from(authority, "base64url"), { now: this.world.clock.now() });
  }

  async headerKeys(): Promise<HeaderKeys> {
    const solarisKey = this.enrollment?.solarisKey ?? new Uint8Array(32);
    const shared = await this.keys.agree(solarisKey);
    return headerKeys(webSuite, shared, this.own.identity.last.x25519, solarisKey);
  }

  /** A new authorization header. */
  async header(twist: HeaderTwist = {}): Promise<string> {
    const slot = twist.slot ?? 0;
    return makeAuthorization(webSuite, systemRandom, await this.headerKeys(), {
      kid: twist.kid ?? this.own.identity.last.hash,
      sub: this.identifier,
      aud: twist.aud ?? ControlWorld.origin,
      slot,
      continuity: twist.continuity === undefined ? (this.continuity.get(slot) ?? null) : twist.continuity,
      now: twist.now ?? this.world.clock.now(),
    });
  }

  /** Asks Solaris about a header, as the world's Nexus. */
  async authorize(
    authorization: string,
    options: { address?: string; key?: string; nexus?: string } = {},
  ): Promise<Answered & { json: AuthorizeAnswer }> {
    const nexus = options.nexus ?? this.world.replica?.identity.identifier;
    const body = { authorization, origin: ControlWorld.origin, address: options.address ?? "192.0.2.7", nexus };
    return this.world.nexus("POST", "authorize", body, options.key);
  }

  /** Opens a tunnel as far as `ready`; keeps the continuity value. */
  async open(twist: HeaderTwist = {}): Promise<Extract<AuthorizeAnswer, { decision: "accept" }>> {
    const { json } = await this.authorize(await this.header(twist));
    if (json.decision !== "accept") throw new RangeError(`not accepted: ${JSON.stringify(json)}`);
    this.continuity.set(json.slot, Buffer.from(json.continuity, "base64url"));
    const ready = { agentId: this.id, slot: json.slot, epoch: json.epoch };
    const answer = await this.world.nexus("POST", "ready", ready);
    if (answer.status !== 204) throw new RangeError(`not ready: ${JSON.stringify(answer.json)}`);
    return json;
  }
}
