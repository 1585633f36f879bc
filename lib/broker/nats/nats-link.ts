import {
  type ConnectionOptions,
  connect,
  Empty,
  Events,
  headers,
  type Msg,
  type NatsConnection,
  type Subscription,
} from "nats.ws";
import { fromUtf8, utf8 } from "#lib/bytes";
import type { Random } from "#lib/clock";
import { Fault } from "#lib/fault";
import type { Log } from "#lib/log";
import type { Unlisten } from "../broker.ts";
import { type ApiProblem, apiFault } from "./nats-faults.ts";

/** How the link is made. */
export interface NatsLinkOptions {
  readonly servers: readonly string[];
  readonly user?: string;
  readonly password?: string;
  readonly name: string;
  readonly random: Random;
  readonly log: Log;
  readonly requestTimeoutMs: number;
}

/** An acknowledged publish. */
export interface PubAck {
  readonly seq: number;
  readonly duplicate: boolean;
}

/** What a message to be stored says beside its body. */
export interface PublishOptions {
  /** `Nats-Msg-Id`: stored once within the dedup window. */
  readonly id?: string;
  /** `Nats-Expected-Last-Subject-Sequence`: 0 = the subject must be empty. */
  readonly expect?: number;
  /** A value's end: readers take it for absence. */
  readonly tombstone?: boolean;
}

const reconnectDelayMaxMs = 2_000;
export const tombstoneHeader = "Mercury-Tombstone";

/** One NATS connection: requests with answers or Faults, and what happens to the connection. All of `nats.ws` is behind this file. */
export class NatsLink {
  readonly #nats: NatsConnection;
  readonly #timeoutMs: number;
  readonly #log: Log;
  /** Rejects what waits for an answer when the connection is cut: its outcome is unknown, and waiting longer tells nothing. */
  readonly #waiting = new Set<(fault: Fault) => void>();
  #connected = true;
  #closing = false;
  #changed: (connected: boolean) => void = () => undefined;

  private constructor(nats: NatsConnection, options: NatsLinkOptions) {
    this.#nats = nats;
    this.#timeoutMs = options.requestTimeoutMs;
    this.#log = options.log;
    void this.#watch();
  }

  /** Fault `broker` when no server answers or it refuses the user. */
  static async open(options: NatsLinkOptions): Promise<NatsLink> {
    const settings: ConnectionOptions = {
      servers: [...options.servers],
      name: options.name,
      maxReconnectAttempts: -1,
      ignoreAuthErrorAbort: true,
      reconnectDelayHandler: () => ((options.random(1)[0] ?? 0) / 255) * reconnectDelayMaxMs,
      pingInterval: 5_000,
      maxPingOut: 2,
      timeout: options.requestTimeoutMs,
      noAsyncTraces: true,
      inboxPrefix: inboxPrefix(options.user),
      ...(options.user === undefined ? {} : { user: options.user }),
      ...(options.password === undefined ? {} : { pass: options.password }),
    };
    try {
      return new NatsLink(await connect(settings), options);
    } catch (error) {
      const reason = error instanceof Error && "code" in error ? String(error.code) : "unknown";
      throw new Fault("broker", "no NATS server takes this connection", { detail: { reason } });
    }
  }

  /** Version of the server, such as `2.9.10`. */
  get version(): string {
    return this.#nats.info?.version ?? "";
  }

  get connected(): boolean {
    return this.#connected && !this.#closing;
  }

  /** Largest message that the server takes, headers included. */
  get payloadBytesMax(): number {
    return this.#nats.info?.max_payload ?? 0;
  }

  /** Names who is told when the connection is cut and when it is back; one only. */
  onChange(changed: (connected: boolean) => void): void {
    this.#changed = changed;
  }

  /** Asks JetStream's API; its refusals are Faults (`apiFault`), silence is `broker`. */
  async api<Answer>(subject: string, request: unknown = {}): Promise<Answer> {
    const answer = await this.#request(`$JS.API.${subject}`, utf8(JSON.stringify(request)));
    const parsed = parse<Answer & { error?: ApiProblem }>(answer.data);
    if (parsed.error !== undefined) throw apiFault(parsed.error);
    return parsed;
  }

  /** Stores a message in `stream`; resolves once the server has it. Faults as `apiFault`; `broker`: the outcome is unknown. */
  async publish(stream: string, subject: string, bytes: Uint8Array, options: PublishOptions = {}): Promise<PubAck> {
    const head = headers();
    head.set("Nats-Expected-Stream", stream);
    if (options.id !== undefined) head.set("Nats-Msg-Id", options.id);
    if (options.expect !== undefined) head.set("Nats-Expected-Last-Subject-Sequence", String(options.expect));
    if (options.tombstone) head.set(tombstoneHeader, "1");
    const answer = await this.#request(subject, bytes, head);
    const ack = parse<{ seq: number; duplicate?: boolean; error?: ApiProblem }>(answer.data);
    if (ack.error !== undefined) throw apiFault(ack.error);
    return { seq: ack.seq, duplicate: ack.duplicate === true };
  }

  /** Sends without an answer; nothing happens while the connection is down. */
  send(subject: string, bytes: Uint8Array = Empty, reply?: string): void {
    if (this.connected) this.#nats.publish(subject, bytes, reply === undefined ? {} : { reply });
  }

  /** Asks for an answer of any form and drops it; for acknowledgements that must have arrived. */
  async settle(subject: string, timeoutMs: number): Promise<void> {
    await this.#request(subject, Empty, undefined, timeoutMs);
  }

  /** Every message on `subject`, over reconnects too. */
  subscribe(subject: string, take: (message: Msg) => void): Unlisten {
    const subscription: Subscription = this.#nats.subscribe(subject, {
      callback: (error, message) => {
        if (error === null) take(message);
        else this.#log.warn("a NATS subscription failed", { subject, error });
      },
    });
    return () => subscription.unsubscribe();
  }

  /** Resolves when everything sent before has reached the server. Fault `broker`. */
  async flush(): Promise<void> {
    await this.#answer(() => this.#nats.flush(), this.#timeoutMs);
  }

  async close(): Promise<void> {
    if (this.#closing) return;
    try {
      if (this.#connected) await this.#nats.flush();
    } catch {
      // Cut while closing: what was on its way is lost either way.
    }
    this.#closing = true;
    this.#reject(new Fault("closed", "the broker is closed"));
    await this.#nats.close();
  }

  #request(
    subject: string,
    bytes: Uint8Array,
    head?: ReturnType<typeof headers>,
    timeoutMs = this.#timeoutMs,
  ): Promise<Msg> {
    const options = head === undefined ? { timeout: timeoutMs } : { timeout: timeoutMs, headers: head };
    return this.#answer(() => this.#nats.request(subject, bytes, options), timeoutMs);
  }

  #answer<T>(ask: () => Promise<T>, timeoutMs: number): Promise<T> {
    if (this.#closing) return Promise.reject(new Fault("closed", "the broker is closed"));
    if (!this.#connected) return Promise.reject(new Fault("broker", "not connected to NATS"));
    return new Promise((resolve, reject) => {
      this.#waiting.add(reject);
      ask().then(
        (answer) => {
          this.#waiting.delete(reject);
          resolve(answer);
        },
        (error: unknown) => {
          this.#waiting.delete(reject);
          const reason = error instanceof Error && "code" in error ? String(error.code) : "unknown";
          reject(new Fault("broker", "NATS did not answer", { detail: { reason, timeoutMs } }));
        },
      );
    });
  }

  async #watch(): Promise<void> {
    for await (const { type, data } of this.#nats.status()) {
      if (type === Events.Disconnect) {
        this.#connected = false;
        this.#reject(new Fault("broker", "the connection to NATS was cut"));
        if (!this.#closing) this.#changed(false);
      } else if (type === Events.Reconnect) {
        this.#connected = true;
        this.#changed(true);
      } else if (type === Events.Error) this.#log.warn("NATS reports an error", { reason: String(data) });
    }
  }

  #reject(fault: Fault): void {
    for (const reject of this.#waiting) reject(fault);
    this.#waiting.clear();
  }
}

/** Answers come where this user alone may listen: no Nexus hears what Solaris is told. */
export function inboxPrefix(user: string | undefined): string {
  return user === undefined ? "_INBOX" : `_INBOX_${user}`;
}

function parse<T>(bytes: Uint8Array): T {
  try {
    return JSON.parse(fromUtf8(bytes)) as T; // the server's own answer; fields that we use are checked where they matter
  } catch (cause) {
    throw new Fault("broker", "an answer of NATS is no JSON", { cause });
  }
}
