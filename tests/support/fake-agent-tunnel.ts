import type { Bytes } from "#lib/bytes";
import type { CryptoSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import { type Link, type MessageStream, messageStream, openLink, type Refusal, subprotocol } from "#lib/link";
import { systemClock, systemRandom } from "#lib/runtime";
import {
  type ControlDown,
  type ControlUp,
  controlDownSchema,
  controlUpSchema,
  type DownDown,
  type DownUp,
  downDownSchema,
  downUpSchema,
  sessionStreams,
  type UpDown,
  type UpUp,
  upDownSchema,
  upUpSchema,
} from "#lib/session";
import { authorizationBinding, createAuthorityView, makeAuthorization } from "#lib/statement";
import { connectWebSocket } from "#lib/wire";
import type { FakeAgent, FakeSolaris } from "./fake-solaris.ts";

/** What a test may twist in an opening. */
export interface TunnelTwist {
  readonly slot?: 0 | 1;
  /** Origin in the header and the prologue. */
  readonly aud?: string;
  /** The header itself. */
  readonly header?: string;
  /** Identity used in the handshake, other than the header's. */
  readonly handshakeAs?: FakeAgent;
  readonly credential?: string;
  readonly protocols?: readonly string[];
  readonly headers?: Readonly<Record<string, string>>;
  /** Authorities of the TLS certificate, PEM. */
  readonly ca?: readonly string[];
}

/** The header that `agent` would send now. */
export function headerOf(suite: CryptoSuite, agent: FakeAgent, twist: TunnelTwist & { now?: number } = {}) {
  const { identity } = agent.keys;
  return makeAuthorization(suite, systemRandom, agent.headerKeys, {
    kid: identity.last.hash,
    sub: identity.identifier,
    aud: twist.aud ?? "http://gateway.test",
    slot: twist.slot ?? 0,
    continuity: null,
    now: twist.now ?? systemClock.now(),
  });
}

/** Opens a tunnel as far as the handshake. Rejects with the refusal's code as detail `refusal`, or `wire_lost`. */
export async function openTunnel(
  suite: CryptoSuite,
  solaris: FakeSolaris,
  agent: FakeAgent,
  url: string,
  twist: TunnelTwist = {},
): Promise<Link> {
  const header = twist.header ?? (await headerOf(suite, agent, twist));
  const protocols = twist.protocols ?? [subprotocol];
  const { wire } = await connectWebSocket(
    {
      url,
      protocols,
      headers: { authorization: header, ...twist.headers },
      ...(twist.ca === undefined ? {} : { ca: twist.ca }),
    },
    { clock: systemClock },
  );
  const shown = twist.handshakeAs ?? agent;
  return openLink(wire, {
    suite,
    clock: systemClock,
    random: systemRandom,
    terms: {
      purpose: "session",
      offered: protocols,
      chosen: subprotocol,
      initiator: shown.keys.identity.identifier,
      responder: twist.aud ?? "http://gateway.test",
      binding: await authorizationBinding(suite, header),
    },
    keys: shown.keys,
    credential: twist.credential ?? shown.credential,
    authority: createAuthorityView(suite, solaris.authority.identity),
    refused: (refusal: Refusal) =>
      new Fault("handshake", "refused", {
        detail: { refusal: refusal.code, retryAfterMs: refusal.retryAfterMs ?? 0, answer: refusal.answer ?? "" },
      }),
  });
}

/** The agent's end of a session's streams. */
export class FakeSession {
  readonly link: Link;
  readonly control: Inbox<ControlUp, ControlDown>;
  #down: Inbox<DownUp, DownDown> | undefined;
  #up: Inbox<UpUp, UpDown> | undefined;

  private constructor(link: Link) {
    this.link = link;
    const schemas = { outgoing: controlUpSchema, incoming: controlDownSchema };
    this.control = new Inbox(messageStream(link.open(sessionStreams.control), schemas));
  }

  /** hello, welcome, ready, opened. `welcomed` gets what Solaris drew, before `ready` is said. */
  static async begin(
    link: Link,
    welcomed: (welcome: Extract<ControlDown, { type: "welcome" }>) => Promise<void> = async () => undefined,
  ): Promise<FakeSession> {
    const session = new FakeSession(link);
    await session.control.send({ type: "hello", version: "1", platform: "test", hostname: "site" });
    const welcome = await session.control.until("welcome");
    await welcomed(welcome);
    await session.control.send({ type: "ready", epoch: welcome.epoch });
    await session.control.until("opened");
    return session;
  }

  /** hello and welcome only. */
  static async greet(link: Link): Promise<{ session: FakeSession; epoch: number }> {
    const session = new FakeSession(link);
    await session.control.send({ type: "hello", version: "1", platform: "test", hostname: "site" });
    const { epoch } = await session.control.until("welcome");
    return { session, epoch };
  }

  get down(): Inbox<DownUp, DownDown> {
    this.#down ??= new Inbox(
      messageStream(this.link.open(sessionStreams.down), { outgoing: downUpSchema, incoming: downDownSchema }),
    );
    return this.#down;
  }

  get up(): Inbox<UpUp, UpDown> {
    this.#up ??= new Inbox(
      messageStream(this.link.open(sessionStreams.up), { outgoing: upUpSchema, incoming: upDownSchema }),
    );
    return this.#up;
  }

  publish(plugin: string, first: number, body: Bytes, count = 1): Promise<void> {
    return this.up.send({ type: "publish", plugin, generation: 1, first, count, body });
  }
}

/** A message stream with a queue, so that tests wait for what they expect. */
export class Inbox<Out, In extends { type: string }> {
  readonly #stream: MessageStream<Out, In>;
  readonly #incoming: AsyncIterableIterator<In>;

  constructor(stream: MessageStream<Out, In>) {
    this.#stream = stream;
    this.#incoming = stream.receive();
  }

  send(message: Out): Promise<void> {
    return this.#stream.send(message);
  }

  async next(): Promise<In> {
    const { value, done } = await this.#incoming.next();
    if (done) throw new RangeError("the stream has ended");
    return value;
  }

  /** The next message of this type; others are passed over. */
  async until<Type extends In["type"]>(type: Type): Promise<Extract<In, { type: Type }>> {
    for (;;) {
      const message = await this.next();
      if (message.type === type) return message as Extract<In, { type: Type }>; // its type was compared
    }
  }
}
