import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import type { Broker } from "#lib/broker";
import { utf8 } from "#lib/bytes";
import { webSuite } from "#lib/crypto";
import { createIdentity, nodeKeys, type Recipient, recipientOf, seal } from "#lib/identity";
import { systemClock, systemRandom } from "#lib/runtime";
import { nodeSigner, numericDate, type Signer, signCommand, signDesired } from "#lib/statement";
import { eventually } from "../../support/eventually.ts";
import { intruder } from "../../support/intruder.ts";
import type { MercurySite } from "../../support/mercury-site.ts";
import { needs } from "../../support/needs.ts";
import { Stack } from "../../support/stack.ts";
import { TakenStore } from "../../support/taken-store.ts";

setDefaultTimeout(30_000);

const timeoutMs = 60_000;

/** Forged statements of each kind that only their signature betrays. */
const signedByOthers = 2;

interface Given {
  readonly id: string;
  readonly state: string;
}

/** Orders that Solaris never gave, in the hands of who rules the broker: told to the cloud, and nothing comes of them. */
needs("nats-server", "apt-get install nats-server")("forged and repeated orders", () => {
  let stack: Stack;
  let broker: Broker;
  let agentId: string;
  let site: MercurySite;
  let forgedDesired: Uint8Array[];
  let forgedCommands: Uint8Array[];

  beforeAll(async () => {
    stack = await Stack.start({ broker: "nats" });
    broker = await intruder(stack);
    ({ agentId, site } = await stack.addAgent());
    await configure("{id}.json");
    await site.program.stop();
    await using taken = await TakenStore.open(site);
    const garbage = [utf8("no statement"), new Uint8Array([0xff, 0xfe, 0x00]), utf8("a.b.c.d.e")];
    const forged = await forge(taken);
    forgedDesired = [...garbage, ...forged.desired];
    forgedCommands = [...garbage, ...forged.commands];
    site.start();
    await stack.online(agentId);
  }, timeoutMs);
  afterAll(async () => {
    await broker?.[Symbol.asyncDispose]();
    await stack?.[Symbol.asyncDispose]();
  });

  async function configure(name: string): Promise<void> {
    const directory = site.exchange;
    await stack.api.putPlugin(agentId, "files", { type: "file", config: { down: { directory, name } } });
    await stack.applied(agentId, "files");
  }

  /** Well-formed, sealed to this node, numbered and dated as they should be; signed by somebody who says he is the authority. */
  async function forge({ identity, authority }: TakenStore) {
    const own = await createIdentity(webSuite, systemRandom, { now: systemClock.now() });
    const mine = nodeSigner(await nodeKeys(webSuite, own.secrets, own.identity));
    const signers: readonly Signer[] = [mine, { ...mine, kid: authority.last.hash }];
    const now = numericDate(systemClock.now());
    const sealed = async (to: Recipient, statement: string) => utf8(await seal(webSuite, systemRandom, to, statement));
    const { identifier } = identity;
    const order = { id: "cmd_forged", iat: now, exp: now + 600, name: "log-level", arguments: { level: "debug" } };
    const state = { number: 1_000, iat: now, plugins: [], portals: [], policies: [], limits: {} };
    const recipient = recipientOf(identity);
    const statements = signers.map(async (signer) => ({
      command: await sealed(recipient, await signCommand(signer, { sub: identifier, ...order })),
      desired: await sealed(recipient, await signDesired(signer, { sub: identifier, ...state })),
    }));
    const made = await Promise.all(statements);
    return { commands: made.map(({ command }) => command), desired: made.map(({ desired }) => desired) };
  }

  async function plant(): Promise<void> {
    for (const bytes of forgedDesired) await broker.put({ kind: "desired", agent: agentId }, bytes);
    for (const bytes of forgedCommands)
      await broker.publish({ kind: "command", agent: agentId }, bytes, crypto.randomUUID());
  }

  const give = (prefer = "wait=0") =>
    stack.api.call<Given>(
      "POST",
      `/agents/${agentId}/commands`,
      { command: { name: "check", plugin: "files" } },
      { prefer },
    );

  async function applies(text: string): Promise<void> {
    const pushed = await stack.api.push(agentId, "files", JSON.stringify(text), { waitS: 20 });
    expect(pushed.state).toBe("applied");
    expect(await Bun.file(`${site.exchange}/${pushed.id}.json`).text()).toBe(JSON.stringify(text));
  }

  const refusedOrders = () => site.program.log.split(/"?command not taken/).length - 1;

  test(
    "forged ones: each is refused, told to the cloud, and changes nothing; the next true one is done",
    async () => {
      const { version } = await stack.api.plugin(agentId, "files");
      await plant();
      expect((await give("wait=15")).state).toBe("done");
      await eventually("each that has the form of a statement is refused for its signature", () => {
        const lines = site.program.log.split("\n").filter((line) => line.includes("statement_invalid"));
        const commands = lines.filter((line) => line.includes("command not taken"));
        return commands.length >= signedByOthers && lines.some((line) => line.includes("desired state not taken"));
      });
      expect(site.program.log).not.toContain("cmd_forged");
      await eventually("the cloud is told", async () => {
        const path = `/agents/${agentId}/events?limit=100`;
        const { items } = await stack.api.call<{ items: { kind: string; detail: object }[] }>("GET", path);
        return items.some(({ kind, detail }) => kind === "node-warning" && /not taken/.test(JSON.stringify(detail)));
      });

      // What is forged and lies before an order when the agent comes back must not keep the order from it.
      await site.program.stop();
      await plant();
      const waiting = await give();
      site.start();
      await eventually("the waiting command is done", async () => {
        return (await stack.api.call<Given>("GET", `/commands/${waiting.id}`)).state === "done";
      });
      expect(await stack.api.plugin(agentId, "files")).toMatchObject({ actual: { version } });
      await applies("under the configuration that was there");
      await configure("{id}.json");
      await stack.online(agentId);
    },
    timeoutMs,
  );

  test(
    "a true command is run once, however often it comes",
    async () => {
      expect((await give("wait=15")).state).toBe("done");
      const repeats = () => site.program.log.split("command repeated, not run again").length - 1;
      const before = repeats();
      // The very same bytes again, under another id, as a broker might.
      const [last] = (await broker.commands(agentId)).slice(-1);
      for (let repeat = 0; repeat < 3; repeat++)
        await broker.publish({ kind: "command", agent: agentId }, last?.bytes ?? utf8(""), crypto.randomUUID());
      expect((await give("wait=15")).state).toBe("done");
      await eventually("each repeat is seen", () => repeats() >= before + 3);
    },
    timeoutMs,
  );

  test(
    "one that is another agent's is not run here",
    async () => {
      const other = await stack.addAgent({ name: "other" });
      await other.site.program.stop();
      const order = { command: { name: "log-level", level: "debug" } };
      const { id } = await stack.api.call<Given>("POST", `/agents/${other.agentId}/commands`, order);
      const [theirs] = (await broker.commands(other.agentId)).slice(-1);
      const before = refusedOrders();
      await broker.publish({ kind: "command", agent: agentId }, theirs?.bytes ?? utf8(""), crypto.randomUUID());
      await eventually("it is refused", () => refusedOrders() > before);
      expect(await stack.api.call<Given>("GET", `/commands/${id}`)).toMatchObject({ state: "sent" });
      other.site.start();
      await eventually("its own agent runs it", async () => {
        return (await stack.api.call<Given>("GET", `/commands/${id}`)).state === "done";
      });
    },
    timeoutMs,
  );
});
