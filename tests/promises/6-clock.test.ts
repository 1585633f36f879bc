import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { needs } from "../support/needs.ts";
import { Stack } from "../support/stack.ts";
import { wrongClock } from "../support/wrong-clock.ts";

setDefaultTimeout(30_000);

const timeoutMs = 60_000;

/** Promise 6: a clock wrong by a day works, or fails with an error that names the clock. */
needs("faketime", "apt-get install faketime")("a clock wrong by a day", () => {
  let stack: Stack;
  let customerId: string;

  beforeAll(async () => {
    stack = await Stack.start();
    ({ customerId } = await stack.api.createCustomer());
  }, timeoutMs);
  afterAll(() => stack?.[Symbol.asyncDispose]());

  for (const [offset, words] of [
    ["+1d", "ahead"],
    ["-1d", "behind"],
  ] as const) {
    test(
      `${words}: enrolling works, or names the clock`,
      async () => {
        const name = `enrolls-${words}`;
        const { agentId, token } = await stack.api.createAgent(customerId, { name });
        const site = stack.addSite({ name, environment: wrongClock(offset) });
        const outcome = await site.enroll(token).then(
          () => "enrolled",
          (error: unknown) => String(error),
        );
        console.log(`enroll, clock a day ${words}: ${outcome.split("\n").at(-2) ?? outcome}`);
        if (outcome === "enrolled") {
          site.start();
          await stack.online(agentId);
          return;
        }
        expect(outcome).toContain("(clock)");
        expect(outcome).toContain(words);
        // Nothing is lost: with the clock set right the same store enrolls with the same token.
        const right = stack.addSite({ name: `${name}-set`, directory: site.directory });
        await right.enroll(token);
        right.start();
        await stack.online(agentId);
      },
      timeoutMs,
    );

    test(
      `${words}: an enrolled agent works all the same; and once it is set right`,
      async () => {
        const name = `runs-${words}`;
        const { agentId, token } = await stack.api.createAgent(customerId, { name });
        const right = stack.addSite({ name });
        await right.enroll(token);
        const wrong = stack.addSite({
          name: `${name}-wrong`,
          directory: right.directory,
          environment: wrongClock(offset),
        });
        wrong.start();
        await stack.online(agentId); // it believes the authenticated time that a refusal or a session brings
        await works(agentId, right.exchange);
        await wrong.program.stop();
        await stack.online(agentId, false);
        right.start();
        await stack.online(agentId);
        await works(agentId, right.exchange);
      },
      timeoutMs,
    );
  }

  /** A configuration is taken and a message is applied. */
  async function works(agentId: string, directory: string): Promise<void> {
    await stack.api.putPlugin(agentId, "files", { type: "file", config: { down: { directory, name: "{id}.txt" } } });
    await stack.applied(agentId, "files");
    expect((await stack.api.push(agentId, "files", "in time", { waitS: 20 })).state).toBe("applied");
  }
});
