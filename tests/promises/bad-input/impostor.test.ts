import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, cpSync, mkdirSync } from "node:fs";
import { eventually } from "../../support/eventually.ts";
import { expectFault } from "../../support/faults.ts";
import type { MercurySite } from "../../support/mercury-site.ts";
import { Stack } from "../../support/stack.ts";
import { TakenStore } from "../../support/taken-store.ts";

setDefaultTimeout(30_000);

const timeoutMs = 60_000;

/** Valid pieces put together wrongly, against the real programs (PROTOCOL §1, §3, §6). */
describe("who shows what belongs to another, or to the past", () => {
  let stack: Stack;
  let customerId: string;

  beforeAll(async () => {
    stack = await Stack.start();
    ({ customerId } = await stack.api.createCustomer());
  }, timeoutMs);
  afterAll(() => stack?.[Symbol.asyncDispose]());

  async function agent(name: string): Promise<{ agentId: string; site: MercurySite }> {
    const { agentId, site } = await stack.addAgent({ customerId, name });
    await off(agentId, site);
    return { agentId, site };
  }

  async function off(agentId: string, site: MercurySite): Promise<void> {
    await site.program.stop();
    await stack.online(agentId, false);
  }

  test(
    "one's header with another's handshake opens nothing, for either of them; a header opens once",
    async () => {
      const [mine, theirs] = [await agent("mine"), await agent("theirs")];
      {
        await using me = await TakenStore.open(mine.site);
        await using them = await TakenStore.open(theirs.site);
        await expectFault(me.link(await them.upgrade()), "handshake");
        const mixed = { ...(await me.upgrade()), headers: { authorization: "Mercury a.b.c" } };
        await expectFault(me.link(mixed), "wire_lost");

        const once = await me.upgrade();
        await (await me.link(once)).close("closed");
        const refused = await expectFault(me.link(once), "forbidden");
        expect(refused.message).toBe("authorization_replayed");
      }
      for (const { agentId, site } of [mine, theirs]) {
        expect((await stack.api.status(agentId)).online).toBe(false);
        site.start();
        await stack.online(agentId);
      }
    },
    timeoutMs,
  );

  test(
    "a store that was copied before a rotation: its keys, and a fork of them, are worth nothing once the next ones were used",
    async () => {
      const { agentId, site } = await agent("rotating");
      const copy = stack.addSite({ name: "before-rotation" });
      mkdirSync(copy.data, { recursive: true });
      cpSync(site.data, copy.data, { recursive: true });
      copyFileSync(site.keyFile, copy.keyFile);

      expect((await site.cli(["identity", "rotate"])).code).toBe(0);
      site.start();
      await site.program.until(/identity rotated/);
      await off(agentId, site);
      site.start();
      await stack.online(agentId); // the new key is used
      await off(agentId, site);

      for (const fork of [false, true]) {
        if (fork) expect((await copy.cli(["identity", "rotate"])).code).toBe(0);
        copy.start();
        await eventually("the copy has tried", async () => (await copy.status()).tunnel.code !== undefined);
        expect((await stack.api.status(agentId)).online).toBe(false);
        await copy.program.stop();
      }
      site.start();
      await stack.online(agentId);
    },
    timeoutMs,
  );
});
