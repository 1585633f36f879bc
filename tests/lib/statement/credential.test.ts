import { describe, expect, test } from "bun:test";
import {
  attributesSchema,
  type Credential,
  isReservedAttribute,
  roles,
  signCredential,
  verifyCredential,
} from "#lib/statement";
import { caught, expectFault } from "#support/faults";
import { agent, authority, begin, credential, day, iat, newParty, now, rotated, stranger, suite } from "./world.ts";

const sign = (over: Partial<Credential> = {}, by = authority) => signCredential(by.signer, credential(over));
const verify = (jws: string, over: Partial<Parameters<typeof verifyCredential>[2]> = {}) =>
  verifyCredential(suite, jws, { authority: authority.identity, subject: agent.identity, now, ...over });

test("a credential says what was signed", async () => {
  const claims = credential();
  expect(await verify(await sign(claims))).toEqual(claims);
});

describe("a credential is refused", () => {
  test("for another change than the last of the chain that is shown", async () => {
    const jws = await sign();
    const newer = await rotated(agent, now);
    await expectFault(verify(jws, { subject: newer.identity }), "credential_invalid"); // the old one, the new chain
    const fork = await rotated(agent, now);
    const forNewer = await sign({ cnf: newer.identity.last.hash });
    await verify(forNewer, { subject: newer.identity });
    await expectFault(verify(forNewer), "credential_invalid"); // the old chain
    await expectFault(verify(forNewer, { subject: fork.identity }), "credential_invalid"); // a fork
  });

  test("of another identity, also one that copies cnf", async () => {
    const jws = await sign();
    await expectFault(verify(jws, { subject: stranger.identity }), "credential_invalid");
    const sub = stranger.identity.identifier;
    await expectFault(verify(await sign({ sub }), { subject: stranger.identity }), "credential_invalid");
  });

  test("of another authority, or naming one", async () => {
    await expectFault(verify(await sign({}, stranger)), "statement_invalid");
    await expectFault(verify(await sign({ iss: stranger.identity.identifier })), "credential_invalid");
  });
});

describe("a superseded authority key", () => {
  test("counts for credentials from before its successor, while they are in date", async () => {
    const successor = await rotated(authority, now);
    const before = await sign({ iat: iat - 1 });
    await verify(before, { authority: successor.identity });
    await expectFault(verify(before, { authority: successor.identity, now: now + day }), "credential_expired");
    await expectFault(verify(await sign({ iat }), { authority: successor.identity }), "statement_stale");
    await expectFault(verify(await sign({ iat: iat + 30 }), { authority: successor.identity }), "statement_stale");
  });

  test("of two rotations ago counts against its own successor, not the last", async () => {
    const second = await rotated(authority, begin + 1_000);
    const third = await rotated(second, now + 1_000);
    await expectFault(verify(await sign({ iat: iat - 1 }), { authority: third.identity }), "statement_stale");
    await verify(await sign({ iat: iat - 1 }, second), { authority: third.identity });
  });
});

describe("attributes", () => {
  test.each(roles.filter((role) => role !== "nexus"))("a %s has a customer", async (role) => {
    await verify(await sign({ attrs: { role, customer_id: "c1" } }));
    for (const attrs of [{ role }, { role, customer_id: "" }, { role, customer_id: 1 }, { role, customer_id: ["c1"] }])
      expect(await caught(sign({ attrs }))).toBeInstanceOf(TypeError);
  });

  test("a nexus has none", async () => {
    await verify(await sign({ attrs: { role: "nexus", gateway_id: "g1" } }));
    expect(await caught(sign({ attrs: { role: "nexus", customer_id: "c1" } }))).toBeInstanceOf(TypeError);
  });

  test("there is no other role", async () => {
    for (const role of ["admin", "Edge", "", 1, undefined])
      expect(await caught(sign({ attrs: { role, customer_id: "c1" } as never }))).toBeInstanceOf(TypeError);
  });

  test.each(["role", "customer_id", "agent_id", "gateway_id", "Role", "CUSTOMER_ID", "identifier", "Identifier"])(
    "%s is reserved",
    (name) => {
      expect(isReservedAttribute(name)).toBe(true);
    },
  );

  test.each(["tier", "roles", "customer", "customer_id_2"])("%s is free", (name) => {
    expect(isReservedAttribute(name)).toBe(false);
  });

  test("have plain names and flat values", () => {
    const good = { tier: "gold", rate: 1.5, beta: false, tags: ["a", "b"] };
    expect(attributesSchema.parse(good)).toEqual(good);
    for (const bad of [
      { "": 1 },
      { "a-b": 1 },
      { "1a": 1 },
      { __proto__x: { a: 1 } },
      { a: null },
      { a: [1] },
      { a: { b: 1 } },
      { a: Number.NaN },
      { a: "x".repeat(513) },
      Object.fromEntries(Array.from({ length: 65 }, (_, index) => [`a${index}`, 1])),
    ])
      expect(attributesSchema.safeParse(bad).success).toBe(false);
    expect(Object.keys(attributesSchema.parse(JSON.parse('{"__proto__": {"role": "nexus"}}')))).toEqual([]);
  });
});

test("an identity that has just begun can be shown at once", async () => {
  const fresh = await newParty(now);
  const jws = await sign({ sub: fresh.identity.identifier, cnf: fresh.identity.last.hash });
  await verify(jws, { subject: fresh.identity });
});
