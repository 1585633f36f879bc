import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, cpSync, mkdirSync } from "node:fs";
import { eventually } from "../support/eventually.ts";
import type { MercurySite } from "../support/mercury-site.ts";
import { Stack } from "../support/stack.ts";

setDefaultTimeout(30_000);

const timeoutMs = 60_000;

interface Agent {
  readonly state: string;
  readonly heldAt: number | null;
}

/** Promise 7: a copied agent is noticed at its first contact, even with the original off. */
describe("a copied store", () => {
  let stack: Stack;
  let customerId: string;

  beforeAll(async () => {
    stack = await Stack.start();
    ({ customerId } = await stack.api.createCustomer());
  }, timeoutMs);
  afterAll(() => stack?.[Symbol.asyncDispose]());

  /** An agent that ran on after its store was copied, and is off now. */
  async function copied(copyPolicy: "reject" | "replace" | "hold") {
    const { agentId, token } = await stack.api.createAgent(customerId, { name: copyPolicy, copyPolicy });
    const original = stack.addSite({ name: copyPolicy });
    await original.enroll(token);
    await online(original, agentId);
    await off(original, agentId);
    const copy = stack.addSite({ name: `${copyPolicy}-copy` });
    mkdirSync(copy.data, { recursive: true });
    cpSync(original.data, copy.data, { recursive: true });
    copyFileSync(original.keyFile, copy.keyFile);
    await online(original, agentId);
    await off(original, agentId);
    return { agentId, original, copy };
  }

  async function online(site: MercurySite, agentId: string): Promise<void> {
    site.start();
    await stack.online(agentId);
  }

  async function off(site: MercurySite, agentId: string): Promise<void> {
    await site.program.stop();
    await stack.online(agentId, false);
  }

  const refused = (site: MercurySite, code: string) =>
    eventually(`Mercury is told ${code}`, async () => (await site.status()).tunnel.code === code);

  async function outcomes(agentId: string): Promise<string[]> {
    const path = `/agents/${agentId}/openings?limit=100`;
    return (await stack.api.call<{ items: { outcome: string }[] }>("GET", path)).items.map(({ outcome }) => outcome);
  }

  async function warned(agentId: string): Promise<boolean> {
    const path = `/agents/${agentId}/events?limit=100`;
    const { items } = await stack.api.call<{ items: { kind: string; warning: boolean }[] }>("GET", path);
    return items.some(({ kind, warning }) => kind === "copy-seen" && warning);
  }

  test(
    "reject: the copy is refused at its first contact, the original goes on",
    async () => {
      const { agentId, original, copy } = await copied("reject");
      expect(await warned(agentId)).toBe(false);
      copy.start();
      await refused(copy, "copied");
      expect((await outcomes(agentId))[0]).toBe("copied");
      expect(await warned(agentId)).toBe(true);
      expect((await stack.api.status(agentId)).online).toBe(false);
      await online(original, agentId);
      await copy.program.kill();
      await off(original, agentId);
    },
    timeoutMs,
  );

  test(
    "replace: the copy takes over and is noticed; the original is noticed when it comes back",
    async () => {
      const { agentId, original, copy } = await copied("replace");
      await online(copy, agentId);
      expect(await warned(agentId)).toBe(true);
      const before = (await stack.api.status(agentId)).since;
      original.start();
      await eventually("the original is online", async () => (await original.status()).tunnel.state === "online");
      await eventually("the copy is displaced", async () => (await copy.status()).tunnel.state !== "online");
      await copy.program.kill();
      await stack.online(agentId);
      expect((await stack.api.status(agentId)).since).toBeGreaterThanOrEqual(before ?? 0);
      await off(original, agentId);
    },
    timeoutMs,
  );

  test(
    "hold: both wait for a person; `known` lets the original on and not the copy",
    async () => {
      const { agentId, original, copy } = await copied("hold");
      copy.start();
      await refused(copy, "held");
      expect(await warned(agentId)).toBe(true);
      expect(await stack.api.call<Agent>("GET", `/agents/${agentId}`)).toMatchObject({ state: "held" });
      original.start();
      await refused(original, "held");
      await copy.program.kill();

      await stack.api.call("POST", `/agents/${agentId}/release`, { keep: "known" });
      await original.program.stop();
      await online(original, agentId);
      copy.start();
      await refused(copy, "held");
      await stack.online(agentId, false);
      await original.program.stop();
      await copy.program.kill();

      await stack.api.call("POST", `/agents/${agentId}/release`, { keep: "next" });
      await online(copy, agentId);
      await off(copy, agentId);
    },
    timeoutMs,
  );
});
