/** `solaris serve --with-gateway`: the one place where two programs meet, in one process and without a socket between them. */

import type { Broker } from "#lib/broker";
import { utf8 } from "#lib/bytes";
import type { CryptoSuite } from "#lib/crypto";
import type { Log } from "#lib/log";
import { hostFacts, serveHttp, systemClock, systemRandom } from "#lib/runtime";
import { createNexus, type Nexus } from "../gateway/app.ts";
import type { Solaris } from "./app.ts";
import type { SolarisConfig } from "./config.ts";
import { newSecretText } from "./db/index.ts";
import { putOwnGateway } from "./gateways/index.ts";

const bodyBytesMax = 128 * 1024;
const waitMs = 10_000;

export interface OwnGatewayParts {
  readonly config: SolarisConfig;
  readonly solaris: Solaris;
  readonly broker: Broker;
  readonly suite: CryptoSuite;
  readonly log: Log;
  readonly version: string;
}

/** A Nexus in this process. Disposing drains it. */
export interface OwnGateway extends AsyncDisposable {
  /** Where agents reach it. */
  readonly origin: string;
}

/**
 * Serves tunnels from this process. Its gateway is made at the first start; its key is new at every start and never leaves
 * the memory. Fault `config` when the address can't be listened on.
 */
export async function serveGateway(parts: OwnGatewayParts): Promise<OwnGateway> {
  const { solaris, broker, suite, version, config } = parts;
  const { gateway: settings } = config;
  const log = parts.log.child("nexus");
  let nexus: Nexus | undefined;
  const notYet = () => new Response(null, { status: 503, headers: { "retry-after": "1" } });
  const server = serveHttp({
    ...settings.listen,
    fetch: (request, connection) => nexus?.fetch(request, connection) ?? notYet(),
    bodyBytesMax,
    drainMs: 2_000,
    onError: (error) => log.error("a request failed", { error }),
    ...(settings.tls === undefined ? {} : { tls: settings.tls }),
  });
  try {
    const origin = settings.origin ?? server.origin;
    const gatewayKey = newSecretText(systemRandom, "nexus");
    await putOwnGateway(solaris.slices, await suite.sha256(utf8(gatewayKey)), origin);
    nexus = await createNexus({
      config: {
        solarisUrl: "http://solaris.internal",
        gatewayKey,
        trustedProxies: settings.trustedProxies,
        allowInsecure: settings.allowInsecure,
        ownTls: settings.tls !== undefined,
        openingsPerAddressPerMinute: 10_000,
        admissionPerSecond: 200,
        sessionsMax: 20_000,
        drainMs: 10_000,
        outlets: settings.outlets,
        publicMetrics: true,
        hostname: hostFacts().hostname.slice(0, 255),
      },
      solaris: (request) => solaris.fetch(request),
      broker,
      relayMessages: broker, // there is no other replica
      clock: systemClock,
      random: systemRandom,
      log,
      suite,
      version,
    });
    const ready = nexus.ready;
    await Promise.race([ready, new Promise<void>((resolve) => systemClock.after(waitMs, resolve))]);
    const own = nexus;
    return {
      origin,
      async [Symbol.asyncDispose]() {
        await own.drain();
        await server[Symbol.asyncDispose]();
        await own[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
}
