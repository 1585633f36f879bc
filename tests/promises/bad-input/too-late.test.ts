import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { eventually } from "../../support/eventually.ts";
import { needs } from "../../support/needs.ts";
import { Stack } from "../../support/stack.ts";
import { wrongClock } from "../../support/wrong-clock.ts";

setDefaultTimeout(30_000);

const timeoutMs = 60_000;

/** What was right once and comes too late: time passes for the cloud while the site is off. */
needs("faketime", "apt-get install faketime")("what has expired", () => {
  let stack: Stack;
  let customerId: string;

  beforeAll(async () => {
    stack = await Stack.start();
    ({ customerId } = await stack.api.createCustomer());
  }, timeoutMs);
  afterAll(() => stack?.[Symbol.asyncDispose]());

  /** The cloud's clock goes on by this, such as `+2d`. */
  async function later(offset: string): Promise<void> {
    await stack.solaris.stop();
    await stack.startSolaris(wrongClock(offset));
  }

  test(
    "a token: refused, nothing is made of it, and a new one of the same agent works",
    async () => {
      const { agentId, token } = await stack.api.createAgent(customerId, { name: "late" });
      await later("+2d");
      try {
        const site = stack.addSite({ name: "late", environment: wrongClock("+2d") });
        expect(await site.enroll(token).catch(String)).toContain("(token_expired)");
        expect(await stack.api.call("GET", `/agents/${agentId}`)).toMatchObject({ state: "pending", identifier: null });
        const again = await stack.api.call<{ token: string }>("POST", `/agents/${agentId}/reissue`, {});
        await site.enroll(again.token);
        site.start();
        await stack.online(agentId);
        await site.program.stop();
      } finally {
        await later("+0");
      }
    },
    timeoutMs,
  );

  test(
    "a command: not run, told as expired, and the next one is run",
    async () => {
      const { agentId, site } = await stack.addAgent({ customerId, name: "orders" });
      const give = (level: string) =>
        stack.api.call<{ id: string }>("POST", `/agents/${agentId}/commands`, {
          command: { name: "log-level", level },
          lifeMs: 2_000,
        });
      const state = async (id: string) => (await stack.api.call<{ state: string }>("GET", `/commands/${id}`)).state;
      await site.program.stop();
      const late = await give("debug");
      await later("+5m"); // the broker keeps commands for ten
      try {
        site.start();
        await stack.online(agentId);
        await site.program.until(/command not taken.*statement_expired/);
        expect(await state(late.id)).toBe("expired");
        const next = await give("info");
        await eventually("the next one is done", async () => (await state(next.id)) === "done");
        expect(await state(late.id)).toBe("expired");
        await site.program.stop();
      } finally {
        await later("+0");
      }
    },
    timeoutMs,
  );
});
