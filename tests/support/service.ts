import { createServiceIdentity, enrollService, openService, SealedClient, type Service } from "#lib/client";
import { webSuite } from "#lib/crypto";
import { systemClock, systemRandom } from "#lib/runtime";
import type { Stack } from "./stack.ts";

const parts = {
  suite: webSuite,
  random: systemRandom,
  clock: systemClock,
  fetch: (url: string, init: RequestInit) => fetch(url, init),
};

/** A customer's cloud application with an identity of its own, enrolled. */
export async function addService(
  stack: Stack,
  customerId: string,
  name: string,
): Promise<{ service: Service; client: SealedClient }> {
  const { token } = await stack.api.createAgent(customerId, { name, role: "service" });
  const host = { version: "1", platform: "test", hostname: name };
  const stored = await enrollService(parts, token, await createServiceIdentity(parts), host);
  const service = await openService(webSuite, stored);
  return { service, client: new SealedClient({ ...parts, origin: stack.origin, key: stack.adminKey, service }) };
}
