import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, cpSync, mkdirSync, writeFileSync } from "node:fs";
import { eventually } from "../../support/eventually.ts";
import type { MercurySite } from "../../support/mercury-site.ts";
import { Stack } from "../../support/stack.ts";

setDefaultTimeout(30_000);

const timeoutMs = 60_000;

/** Tokens and stores that are not what they should be: told by code, and nothing is taken away from who is right. */
describe("who comes with something wrong", () => {
  let stack: Stack;
  let customerId: string;

  beforeAll(async () => {
    stack = await Stack.start();
    ({ customerId } = await stack.api.createCustomer());
  }, timeoutMs);
  afterAll(() => stack?.[Symbol.asyncDispose]());

  let sites = 0;
  const site = () => stack.addSite({ name: `wrong-${++sites}` });

  /** The code that `mercury enroll` ends with; `done` when it does not fail. */
  async function enroll(at: MercurySite, token: string): Promise<string> {
    const failure = await at.enroll(token).then(
      () => undefined,
      (error: unknown) => String(error),
    );
    return failure === undefined ? "done" : (/\((\w+)\)\s*$/.exec(failure)?.[1] ?? failure);
  }

  test(
    "a token that is edited, cut off, of another cloud, used or replaced",
    async () => {
      const { agentId, token } = await stack.api.createAgent(customerId, { name: "tokens" });
      expect(await enroll(site(), "no token at all")).toBe("token_invalid");
      expect(await enroll(site(), token.slice(0, -5))).toBe("token_damaged");
      const middle = Math.floor(token.length / 2);
      const other = token[middle] === "A" ? "B" : "A";
      expect(await enroll(site(), `${token.slice(0, middle)}${other}${token.slice(middle + 1)}`)).toBe("token_damaged");

      expect(await enroll(site(), token)).toBe("done");
      expect(await enroll(site(), token)).toBe("token_used");

      const reissued = await stack.api.call<{ token: string }>("POST", `/agents/${agentId}/reissue`, {});
      const newest = await stack.api.call<{ token: string }>("POST", `/agents/${agentId}/reissue`, {});
      expect(await enroll(site(), reissued.token)).toBe("token_invalid");
      expect(await enroll(site(), newest.token)).toBe("done");
    },
    timeoutMs,
  );

  test(
    "a token of another cloud: a store that belongs to one does not go to the other",
    async () => {
      await using elsewhere = await Stack.start();
      const theirs = await elsewhere.api.createCustomer();
      const foreign = await elsewhere.api.createAgent(theirs.customerId, { name: "foreign" });
      const { agentId, token } = await stack.api.createAgent(customerId, { name: "ours" });
      const ours = site();
      expect(await enroll(ours, token)).toBe("done");
      expect(await enroll(ours, foreign.token)).toBe("enrolled");
      ours.start();
      await stack.online(agentId);
      const { state } = await elsewhere.api.call<{ state: string }>("GET", `/agents/${foreign.agentId}`);
      expect(state).toBe("pending");
    },
    timeoutMs,
  );

  test(
    "a revoked agent that enrolls again: refused with the same store and with a new one, until a new token is made",
    async () => {
      const { agentId, token } = await stack.api.createAgent(customerId, { name: "revoked" });
      const first = site();
      await first.enroll(token);
      first.start();
      await stack.online(agentId);
      await stack.api.revoke(agentId, "left the company");
      await eventually("it is told why", async () => (await first.status()).tunnel.code === "revoked");
      await first.program.stop();
      expect(await enroll(first, token)).toBe("enrolled");
      expect(await enroll(site(), token)).toBe("token_used");
      // It kept its identity all the while, and is still told why.
      first.start();
      await eventually("it is told again", async () => (await first.status()).tunnel.code === "revoked");
      await first.program.stop();

      const again = await stack.api.call<{ token: string }>("POST", `/agents/${agentId}/reissue`, {});
      expect(await enroll(first, again.token)).toBe("enrolled");
      expect(await first.cli(["leave", "--yes"])).toMatchObject({ code: 0 });
      expect(await enroll(first, again.token)).toBe("done");
      first.start();
      await stack.online(agentId);
    },
    timeoutMs,
  );

  test(
    "a wrong store key: said so, and the store is as it was",
    async () => {
      const { agentId, token } = await stack.api.createAgent(customerId, { name: "key" });
      const right = site();
      await right.enroll(token);
      const before = `${right.keyFile}.before`;
      copyFileSync(right.keyFile, before);
      writeFileSync(right.keyFile, "0".repeat(64));
      right.start();
      expect(await right.program.exit()).not.toBe(0);
      expect(right.program.output).toContain("database_key");
      copyFileSync(before, right.keyFile);
      right.start();
      await stack.online(agentId);
      await right.program.stop();

      // Without its key a copy of the data is worth nothing.
      const thief = site();
      mkdirSync(thief.data, { recursive: true });
      cpSync(right.data, thief.data, { recursive: true });
      thief.start();
      expect(await thief.program.exit()).not.toBe(0);
    },
    timeoutMs,
  );
});
