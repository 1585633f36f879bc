import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { fromBase64url, fromUtf8 } from "#lib/bytes";
import { webSuite } from "#lib/crypto";
import { createIdentity, type NodeKeys, nodeKeys } from "#lib/identity";
import { systemRandom } from "#lib/runtime";
import { decodeEnrollmentToken, makeEnrollmentRequest, verifyEnrollment, verifyTokenAuthority } from "#lib/statement";
import { eventually } from "../support/eventually.ts";
import { Stack } from "../support/stack.ts";

setDefaultTimeout(30_000);

const timeoutMs = 60_000;
const rivals = 100;

/** Promise 5: a token is redeemed once; a lost reply does not lose the enrollment. */
describe("one token", () => {
  let stack: Stack;
  let customerId: string;

  beforeAll(async () => {
    stack = await Stack.start({ cuttable: true });
    ({ customerId } = await stack.api.createCustomer());
  }, timeoutMs);
  afterAll(() => stack?.[Symbol.asyncDispose]());

  async function newKeys(): Promise<NodeKeys> {
    const { secrets, identity } = await createIdentity(webSuite, systemRandom, { now: Date.now() });
    return nodeKeys(webSuite, secrets, identity);
  }

  /** A sealed request of its own identity for this token, and how to read the answer. */
  async function requestOf(tokenText: string) {
    const token = await decodeEnrollmentToken(webSuite, tokenText);
    const shown = (await (await fetch(`${stack.gatewayOrigin}/enroll`)).json()) as { authority: string };
    const chain = fromBase64url(shown.authority);
    if (chain === undefined) throw new TypeError("the gateway shows no authority");
    const authority = await verifyTokenAuthority(webSuite, token, chain, Date.now());
    return async (keys: NodeKeys) => {
      const host = { version: "0", platform: "test", hostname: "rival" };
      const request = await makeEnrollmentRequest(webSuite, systemRandom, { token, authority, keys, host });
      const open = async (sealed: string) =>
        verifyEnrollment(webSuite, fromUtf8(await keys.unseal(sealed)), {
          authority,
          tokenId: token.tokenId,
          subject: keys.identity,
          now: Date.now(),
        });
      return { keys, request, open };
    };
  }

  const redeem = async (request: string) => {
    const answer = await fetch(`${stack.gatewayOrigin}/enroll`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ request }),
    });
    return { status: answer.status, ...((await answer.json()) as { answer?: string; code?: string }) };
  };

  test(
    `${rivals} identities redeem it at once: one wins, all others are told that it was used`,
    async () => {
      const { agentId, token } = await stack.api.createAgent(customerId, { name: "contested" });
      const make = await requestOf(token);
      const all = await Promise.all(Array.from({ length: rivals }, async () => make(await newKeys())));
      const answers = await Promise.all(all.map(({ request }) => redeem(request)));

      const won = answers.flatMap(({ status }, index) => (status === 200 ? [index] : []));
      expect(won.length).toBe(1);
      const others = answers.filter(({ status }) => status !== 200);
      expect(others.map(({ status, code }) => `${status} ${code}`)).toEqual(others.map(() => "409 token_used"));

      const [winner = 0] = won;
      const opened = await all[winner]?.open(answers[winner]?.answer ?? "");
      expect(opened?.agentId).toBe(agentId);
      interface Agent {
        identifier: string;
        trust: { tokens: { redeemedBy: string }[] };
      }
      const agent = await stack.api.call<Agent>("GET", `/agents/${agentId}`);
      const identifier = all[winner]?.keys.identity.identifier ?? "";
      expect(agent.identifier).toBe(identifier);
      expect(agent.trust.tokens.map(({ redeemedBy }) => redeemedBy)).toEqual([identifier]);
      const { items } = await stack.api.call<{ items: { kind: string }[] }>("GET", `/agents/${agentId}/events`);
      expect(items.map(({ kind }) => kind)).toContain("token-reused");
    },
    timeoutMs,
  );

  test(
    "a reply that is lost: the same store asks again and is the same agent, with a tunnel",
    async () => {
      const { agentId, token } = await stack.api.createAgent(customerId, { name: "unlucky" });
      const site = stack.addSite({ name: "unlucky" });
      // Once the request has gone up, nothing comes back.
      stack.network.onUp((bytes) => {
        if (new TextDecoder().decode(bytes).includes("POST /enroll")) stack.network.hold("down");
      });
      const lost = site.enroll(token).then(
        () => "enrolled",
        (error: unknown) => String(error),
      );
      const state = async () => (await stack.api.call<{ state: string }>("GET", `/agents/${agentId}`)).state;
      await eventually("Solaris has redeemed the token", async () => (await state()) === "enrolled");
      stack.network.onUp(() => undefined);
      stack.network.cut();
      stack.network.release();
      expect(await lost).toContain("mercury enroll ended with");

      const output = await site.enroll(token);
      expect(output).toContain(`Enrolled as ${agentId}`);
      const { identifier } = await stack.api.call<{ identifier: string }>("GET", `/agents/${agentId}`);
      expect(output).toContain(identifier);
      site.start();
      await stack.online(agentId);
    },
    timeoutMs,
  );
});
