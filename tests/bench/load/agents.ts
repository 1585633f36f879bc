import { fromBase64url, fromUtf8 } from "#lib/bytes";
import type { CryptoSuite } from "#lib/crypto";
import { createIdentity, type NodeKeys, nodeKeys } from "#lib/identity";
import { type Link, messageStream, openLink, subprotocol } from "#lib/link";
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

const host = { version: "bench", platform: "bench", hostname: "bench" };

/** An agent as far as a tunnel needs it: everything that Mercury does for one, but for its store and its plugins. */
export interface LoadAgent {
  readonly gateway: string;
  readonly keys: NodeKeys;
  readonly enrollment: Enrollment;
  readonly macs: HeaderKeys;
}

/** Redeems a token through the gateway (PROTOCOL §4). */
export async function enrollAgent(suite: CryptoSuite, tokenText: string): Promise<LoadAgent> {
  const token = await decodeEnrollmentToken(suite, tokenText);
  const own = await createIdentity(suite, systemRandom, { now: systemClock.now() });
  const keys = await nodeKeys(suite, own.secrets, own.identity);
  const address = `${token.gateway}/enroll`;
  const shown = authorityAnswerSchema.parse(await (await fetch(address)).json());
  const chain = fromBase64url(shown.authority) ?? new Uint8Array();
  const authority = await verifyTokenAuthority(suite, token, chain, systemClock.now());
  const request = await makeEnrollmentRequest(suite, systemRandom, { token, authority, keys, host });
  const headers = { "content-type": "application/json" };
  const response = await fetch(address, { method: "POST", headers, body: JSON.stringify({ request }) });
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
  return { gateway: token.gateway, keys, enrollment, macs };
}

/** Opens its tunnel: header, upgrade, Noise, hello, welcome, ready, opened. */
export async function openSession(suite: CryptoSuite, agent: LoadAgent): Promise<Link> {
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
    { url, protocols: [subprotocol], headers: { authorization: header } },
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
  await control.send({ type: "hello", ...host });
  await new Promise<void>((resolve, reject) => {
    const listen = async () => {
      for await (const message of control.receive()) {
        if (message.type === "welcome") await control.send({ type: "ready", epoch: message.epoch });
        if (message.type === "opened") resolve();
      }
    };
    listen().catch(reject);
  });
  return link;
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
