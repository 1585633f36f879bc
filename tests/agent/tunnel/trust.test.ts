import { afterEach, describe, expect, test } from "bun:test";
import { hex } from "#lib/bytes";
import { webSuite } from "#lib/crypto";
import { createIdentity, type NodeKeys, nodeKeys, type VerifiedIdentity } from "#lib/identity";
import { identityRotationMs } from "#lib/limits";
import { silentLog } from "#lib/log";
import { systemClock, systemRandom } from "#lib/runtime";
import { nodeSigner, numericDate, signCredential, signRevocation } from "#lib/statement";
import { AgentStores } from "#support/agent-store";
import { expectFault } from "#support/faults";
import type { Store } from "../../../agent/store/open-store.ts";
import { CorrectedClock } from "../../../agent/tunnel/corrected-clock.ts";
import { Trust } from "../../../agent/tunnel/trust.ts";

const stores = new AgentStores();
afterEach(() => stores[Symbol.asyncDispose]());

async function makeAuthority(): Promise<NodeKeys> {
  const own = await createIdentity(webSuite, systemRandom, { now: systemClock.now() });
  return await nodeKeys(webSuite, own.secrets, own.identity);
}

/** A node that is enrolled with an authority of the test's own. */
async function enrolled() {
  const authority = await makeAuthority();
  const path = await stores.path();
  const store = await stores.open(path, systemClock);
  const { identity } = await store.identity.ensure();
  const credential = await sign(authority, identity);
  const { chain, identifier } = authority.identity;
  await store.cloud.beginEnrollment({ gateway: "https://g.example", authority: identifier, token: "mercury_x" });
  await store.cloud.enrolled({
    agentId: "agent-1",
    solarisPublic: (await webSuite.agreementKey(systemRandom(32))).publicKey,
    credential,
    authority: chain,
    authorityIat: 0,
    now: systemClock.now(),
  });
  return { authority, path, store, credential, trust: await load(store) };
}

function load(store: Store): Promise<Trust> {
  return Trust.load({ store, suite: webSuite, clock: new CorrectedClock(systemClock), log: silentLog });
}

function sign(authority: NodeKeys, subject: VerifiedIdentity, numbers = { revocations: 0, desired: 0 }) {
  const iat = numericDate(systemClock.now());
  return signCredential(nodeSigner(authority), {
    sub: subject.identifier,
    iss: authority.identity.identifier,
    iat,
    exp: iat + 3_600,
    jti: hex(systemRandom(16)),
    cnf: subject.last.hash,
    attrs: { role: "edge", customer_id: "cus", agent_id: "agent-1" },
    ...numbers,
  });
}

async function list(authority: NodeKeys, number: number, revoked: readonly string[] = []) {
  const iat = numericDate(systemClock.now());
  const claims = { number, iat, revoked: revoked.map((identifier) => ({ identifier, at: iat })) };
  return { authority: authority.identity.chain, revocations: await signRevocation(nodeSigner(authority), claims) };
}

const someone = `I${"ab".repeat(32)}`;

describe("a revocation list", () => {
  test("is kept over a restart; an older one, a forged one and another cloud's change nothing", async () => {
    const { authority, store, trust } = await enrolled();
    await trust.takeList(await list(authority, 5, [someone]));
    await expectFault(trust.takeList(await list(authority, 4)), "statement_stale");
    const other = await makeAuthority();
    await expectFault(trust.takeList(await list(other, 9)), "identity_unexpected");
    const forged = { ...(await list(other, 9)), authority: authority.identity.chain };
    await expectFault(trust.takeList(forged), "statement_invalid");
    expect(trust.freshness.revocations).toBe(5);
    const again = await load(store);
    expect(again.isRevoked(someone)).toBe(true);
    expect(again.freshness.revocations).toBe(5);
    await expectFault(again.takeList(await list(authority, 4)), "statement_stale");
  });
});

describe("a credential", () => {
  test("is used once the numbers that it names are held, and not before", async () => {
    const { authority, store, credential, trust } = await enrolled();
    const { identity } = trust.keys;
    const fresh = await sign(authority, identity, { revocations: 2, desired: 7 });
    await trust.takeCredential(fresh, await list(authority, 2));
    expect(trust.credential.jws).toBe(credential); // desired state 7 is withheld
    expect((await store.cloud.enrollment())?.credential).toBe(credential);
    await trust.desiredTaken(7);
    expect(trust.credential.jws).toBe(fresh);
    expect((await load(store)).credential.jws).toBe(fresh);
  });

  test("of another node, or of another cloud, is refused", async () => {
    const { authority, credential, trust } = await enrolled();
    const strange = await makeAuthority();
    await expectFault(
      trust.takeCredential(await sign(authority, strange.identity), await list(authority, 1)),
      "credential_invalid",
    );
    await expectFault(
      trust.takeCredential(await sign(strange, trust.keys.identity), await list(authority, 2)),
      "statement_invalid",
    );
    expect(trust.credential.jws).toBe(credential);
  });
});

describe("a rotation", () => {
  test("keeps the former keys until Solaris has registered the next, whenever the process ends", async () => {
    const { authority, path, store, trust } = await enrolled();
    const before = trust.keys.identity;
    const next = await store.identity.beginRotation();
    expect((await store.identity.beginRotation()).identity.last.hash).toBe(next.identity.last.hash);
    expect(trust.keys.identity.last.hash).toBe(before.last.hash);
    await store[Symbol.asyncDispose](); // asked, and the answer was lost
    const reopened = await stores.open(path, systemClock);
    const again = await load(reopened);
    expect(again.keys.identity.last.hash).toBe(before.last.hash);
    const pending = await reopened.identity.pending();
    expect(pending?.identity.last.hash).toBe(next.identity.last.hash);
    await again.takeCredential(await sign(authority, next.identity), await list(authority, 1));
    expect(again.keys.identity.last.hash).toBe(next.identity.last.hash);
    expect(await reopened.identity.pending()).toBeUndefined();
    const after = await load(reopened);
    expect(after.keys.identity.changes.length).toBe(2);
    expect(after.credential.claims?.cnf).toBe(next.identity.last.hash);
    expect(after.keys.identity.identifier).toBe(before.identifier);
  });

  test("begins by itself when the last change is old enough, and only then", async () => {
    const { store } = await enrolled();
    const now = systemClock.now();
    expect(await store.identity.next(now + identityRotationMs - 60_000)).toBeUndefined();
    expect(await store.identity.pending()).toBeUndefined();
    const next = await store.identity.next(now + identityRotationMs + 60_000);
    expect(next?.identity.changes.length).toBe(2);
    expect((await store.identity.next(now))?.identity.last.hash).toBe(next?.identity.last.hash ?? "");
  });

  test("a credential for the change before is taken while the rotation goes on", async () => {
    const { authority, store, trust } = await enrolled();
    await store.identity.beginRotation();
    const fresh = await sign(authority, trust.keys.identity);
    await trust.takeCredential(fresh, await list(authority, 1));
    expect(trust.credential.jws).toBe(fresh);
    expect(await store.identity.pending()).toBeDefined();
  });
});

test("numbers never go down, whatever is written", async () => {
  const { store } = await enrolled();
  await store.cloud.raise({ desired: 9, authorityIat: 100 });
  await store.cloud.raise({ desired: 3, authorityIat: 50 });
  await store.cloud.keepRevocations(4, "list", 10);
  await store.cloud.keepRevocations(2, "older", 10);
  expect(await store.cloud.authority()).toMatchObject({
    revocationList: "list",
    freshness: { desired: 9, revocations: 4, authorityIat: 100 },
  });
});
