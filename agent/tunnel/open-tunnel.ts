import type { Random } from "#lib/clock";
import type { CryptoSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import { type Link, openLink, subprotocol } from "#lib/link";
import type { Log } from "#lib/log";
import { authorizationBinding, headerKeys, makeAuthorization, readAuthorizationUnverified } from "#lib/statement";
import { connectWebSocket, type Wire } from "#lib/wire";
import type { Network } from "../network/network.ts";
import type { Store } from "../store/open-store.ts";
import type { CorrectedClock } from "./corrected-clock.ts";
import { type ReadRefusal, readRefusal } from "./refusal.ts";
import type { Trust } from "./trust.ts";

/** Connects to a gateway: the upgrade with this header, and nothing more. */
export type ConnectWire = (
  url: string,
  header: string,
  signal: AbortSignal,
) => Promise<{ readonly wire: Wire; readonly protocol: string }>;

export interface OpeningParts {
  readonly store: Pick<Store, "cloud">;
  readonly suite: CryptoSuite;
  readonly random: Random;
  readonly clock: CorrectedClock;
  readonly log: Log;
  readonly trust: Trust;
  readonly connect: ConnectWire;
  /** Origin of the gateway: what the header is meant for. */
  readonly gateway: string;
}

/** A refused opening, with when to come again. */
export class RefusedOpening extends Error {
  override readonly name = "RefusedOpening";
  readonly refusal: ReadRefusal;

  constructor(refusal: ReadRefusal) {
    super(refusal.fault.message, { cause: refusal.fault });
    this.refusal = refusal;
  }
}

/** A WebSocket through the site's proxies. */
export function connectBy(network: Network, clock: CorrectedClock): ConnectWire {
  return (url, header, signal) => {
    const { proxy, tls } = network.wayTo(new URL(url));
    return connectWebSocket(
      {
        url,
        protocols: [subprotocol],
        headers: { authorization: header },
        ...(proxy === undefined ? {} : { proxy }),
        ...(tls === undefined ? {} : { ca: tls.ca }),
      },
      { clock, signal },
    );
  };
}

/**
 * Opens a tunnel in this slot as far as the handshake (PROTOCOL §5, §6). Rejects with `RefusedOpening` when it was refused in a
 * `0x04` message, else with a Fault; a time that Solaris authenticated has corrected the clock then.
 */
export async function openTunnel(parts: OpeningParts, slot: 0 | 1, signal: AbortSignal): Promise<Link> {
  const { store, suite, random, clock, trust, gateway } = parts;
  const { keys } = trust;
  const { solarisPublic } = trust.enrollment;
  const { identity } = keys;
  const macs = await headerKeys(suite, await keys.agree(solarisPublic), identity.last.x25519, solarisPublic);
  const header = await makeAuthorization(suite, random, macs, {
    kid: identity.last.hash,
    sub: identity.identifier,
    aud: gateway,
    slot,
    continuity: (await store.cloud.slot(slot))?.continuity ?? null,
    now: clock.now(),
  });
  const { wire, protocol } = await upgraded(parts, header, signal);
  let refused: ReadRefusal | undefined;
  try {
    return await openLink(wire, {
      suite,
      clock,
      random,
      log: parts.log,
      signal,
      terms: {
        purpose: "session",
        offered: [subprotocol],
        chosen: protocol,
        initiator: identity.identifier,
        responder: gateway,
        binding: await authorizationBinding(suite, header),
      },
      keys,
      credential: trust.credential.jws,
      authority: trust.authority,
      freshness: (peer) => {
        if (trust.isRevoked(peer.identity.identifier)) throw new Fault("revoked", "this Nexus was revoked");
      },
      refused: async (refusal) => {
        const { jti } = readAuthorizationUnverified(header).claims;
        refused = await readRefusal(suite, macs, jti, refusal);
        return refused.fault;
      },
    });
  } catch (error) {
    if (refused === undefined) throw error;
    await takeTime(parts, refused);
    throw new RefusedOpening(refused);
  }
}

async function upgraded({ connect, gateway }: OpeningParts, header: string, signal: AbortSignal) {
  const url = `${gateway.replace(/^http/, "ws")}/tunnel`;
  try {
    return await connect(url, header, signal);
  } catch (error) {
    if (!(error instanceof Fault) || error.code !== "wire_lost") throw error;
    const text =
      "the gateway can't be reached, or does not know this agent; `mercury doctor` names the hop that failed";
    throw new Fault("wire_lost", text, { cause: error });
  }
}

/** Solaris' own time, under its MAC. */
async function takeTime({ clock, trust, store, log }: OpeningParts, { answer }: ReadRefusal): Promise<void> {
  if (answer === undefined || !clock.correct(answer.timeMs, trust.freshness.authorityIat * 1_000)) return;
  log.warn("this machine's clock is wrong; corrected by the cloud's time", { offsetMs: clock.offsetMs });
  await store.cloud.keepClockOffset(clock.offsetMs);
}
