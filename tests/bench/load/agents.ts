import { fromBase64url, fromUtf8, readUint32 } from "#lib/bytes";
import type { CryptoSuite } from "#lib/crypto";
import { createIdentity, type NodeKeys, nodeKeys } from "#lib/identity";
import { type Link, messageStream, openLink, relayHeaderBytes, subprotocol, writeRelayHeader } from "#lib/link";
import { systemClock, systemRandom } from "#lib/runtime";
import {
  authorityAnswerSchema,
  type ControlDown,
  type ControlUp,
  controlDownSchema,
  controlUpSchema,
  downDownSchema,
  downUpSchema,
  enrollAnswerSchema,
  sessionStreams,
} from "#lib/session";
import {
  authorizationBinding,
  createAuthorityView,
  decodeEnrollmentToken,
  type Enrollment,
  type HeaderKeys,
  headerKeys,
  makeAuthorization,
  makeEnrollmentRequest,
  verifyEnrollment,
  verifyTokenAuthority,
} from "#lib/statement";
import { connectWebSocket } from "#lib/wire";

/** A wire that carries nothing within this, ms, never will: the bench says so and does not hang. */
const relayMsMax = 20_000;
const host = { version: "bench", platform: "bench", hostname: "bench" };

/** An agent as far as a tunnel needs it: everything that Mercury does for one, but for its store and its plugins. */
export interface LoadAgent {
  readonly gateway: string;
  readonly address: string;
  readonly keys: NodeKeys;
  readonly enrollment: Enrollment;
  readonly macs: HeaderKeys;
}

/** A tunnel that is open. */
export interface LoadSession {
  readonly link: Link;
  readonly send: (message: ControlUp) => Promise<void>;
  /** Hears what Nexus says of relayed wires; set by who asks for one. */
  heard: (message: ControlDown) => void;
}

/** What a proxy that ends TLS says of its client. */
const forwarded = (address: string) => ({ "x-forwarded-for": address, "x-forwarded-proto": "https" });

/** Where enrollments go: to Solaris as a Nexus passes them on, since a Nexus lets 20 a second through. */
export interface EnrollmentDoor {
  readonly solaris: string;
  readonly gatewayKey: string;
}

/** Redeems a token (PROTOCOL §4). `address` is where the agent seems to be: limits count each one's tries. */
export async function enrollAgent(
  suite: CryptoSuite,
  { solaris, gatewayKey }: EnrollmentDoor,
  tokenText: string,
  address: string,
): Promise<LoadAgent> {
  const token = await decodeEnrollmentToken(suite, tokenText);
  const own = await createIdentity(suite, systemRandom, { now: systemClock.now() });
  const keys = await nodeKeys(suite, own.secrets, own.identity);
  const headers = { authorization: `Bearer ${gatewayKey}`, "content-type": "application/json" };
  const asked = await fetch(`${solaris}/nexus/v1/authority`, { headers });
  const shown = authorityAnswerSchema.parse(await asked.json());
  const chain = fromBase64url(shown.authority) ?? new Uint8Array();
  const authority = await verifyTokenAuthority(suite, token, chain, systemClock.now());
  const request = await makeEnrollmentRequest(suite, systemRandom, { token, authority, keys, host });
  const body = JSON.stringify({ request, address });
  const response = await fetch(`${solaris}/nexus/v1/enroll`, { method: "POST", headers, body });
  if (!response.ok) throw new RangeError(`enrollment was answered ${response.status}: ${await response.text()}`);
  const { answer } = enrollAnswerSchema.parse(await response.json());
  const enrollment = await verifyEnrollment(suite, fromUtf8(await keys.unseal(answer)), {
    authority,
    tokenId: token.tokenId,
    subject: keys.identity,
    now: systemClock.now(),
  });
  const shared = await keys.agree(enrollment.solarisKey);
  const macs = await headerKeys(suite, shared, keys.identity.last.x25519, enrollment.solarisKey);
  return { gateway: token.gateway, address, keys, enrollment, macs };
}

/** Opens its tunnel: header, upgrade, Noise, hello, welcome, ready, opened. */
export async function openSession(suite: CryptoSuite, agent: LoadAgent): Promise<LoadSession> {
  const { gateway, keys, enrollment, macs } = agent;
  const { identity } = keys;
  const header = await makeAuthorization(suite, systemRandom, macs, {
    kid: identity.last.hash,
    sub: identity.identifier,
    aud: gateway,
    slot: 0,
    continuity: null,
    now: systemClock.now(),
  });
  const url = `${gateway.replace(/^http/, "ws")}/tunnel`;
  const { wire, protocol } = await connectWebSocket(
    { url, protocols: [subprotocol], headers: { authorization: header, ...forwarded(agent.address) } },
    { clock: systemClock },
  );
  const link = await openLink(wire, {
    suite,
    clock: systemClock,
    random: systemRandom,
    terms: {
      purpose: "session",
      offered: [subprotocol],
      chosen: protocol,
      initiator: identity.identifier,
      responder: gateway,
      binding: await authorizationBinding(suite, header),
    },
    keys,
    credential: enrollment.credentialJws,
    authority: createAuthorityView(suite, enrollment.authority),
  });
  const schemas = { outgoing: controlUpSchema, incoming: controlDownSchema };
  const control = messageStream<ControlUp, ControlDown>(link.open(sessionStreams.control), schemas);
  const session: LoadSession = { link, send: (message) => control.send(message), heard: () => undefined };
  await control.send({ type: "hello", ...host });
  await new Promise<void>((resolve, reject) => {
    const listen = async () => {
      for await (const message of control.receive()) {
        if (message.type === "welcome") await control.send({ type: "ready", epoch: message.epoch });
        if (message.type === "opened") resolve();
        session.heard(message);
      }
    };
    listen().catch(reject);
  });
  return session;
}

/** Joins two tunnels by a relayed wire and sends `bytes` through it in each direction; resolves when both have come. The second is only sent when the first has come: before, the wire may be half joined. */
export async function openRelay(asking: LoadSession, asked: LoadSession, to: string, bytes: number): Promise<void> {
  const message = (relay: number) => {
    const whole = new Uint8Array(relayHeaderBytes + bytes).fill(2); // the kind of a record; what is in it nobody reads
    writeRelayHeader(whole, relay);
    return whole;
  };
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new RangeError("nothing came through the wire")), relayMsMax);
  const returned = new Promise<void>((resolve, reject) => {
    asked.link.onRelay((first) => asked.link.sendRelay(message(readUint32(first, 1)))); // as in a handshake: the asking end begins
    asking.link.onRelay(() => resolve());
    asked.heard = (heard) => {
      if (heard.type === "relay-offer") asked.send({ type: "relay-accept", relay: heard.relay }).catch(reject);
    };
    asking.heard = (heard) => {
      if (heard.type === "relay-refused") reject(new RangeError(`the wire was refused: ${heard.code}`));
      if (heard.type === "relay-opened") asking.link.sendRelay(message(heard.relay));
    };
  });
  const binding = crypto.getRandomValues(new Uint8Array(16));
  await asking.send({ type: "relay-open", request: 1, to, offered: [subprotocol], binding });
  await Promise.race([returned, late.promise]);
  clearTimeout(timer);
}

/** Opens one down lane on the session, so that Nexus reads the broker for it; resolves when it does. */
export async function openLane(link: Link, plugin: string): Promise<void> {
  const schemas = { outgoing: downUpSchema, incoming: downDownSchema };
  const down = messageStream(link.open(sessionStreams.down), schemas);
  await down.send({ type: "open", plugin, cursor: null });
  await new Promise<void>((resolve, reject) => {
    const listen = async () => {
      for await (const message of down.receive()) {
        if (message.type === "opened") resolve();
        if (message.type === "refused") reject(new RangeError(`the lane was refused: ${message.code}`));
      }
    };
    listen().catch(reject);
  });
}
