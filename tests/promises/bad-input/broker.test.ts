import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { connect, headers } from "nats.ws";
import type { Broker } from "#lib/broker";
import { encodeCbor, utf8 } from "#lib/bytes";
import { entryBytesMax } from "#lib/limits";
import { encodeEntry } from "#lib/session";
import { eventually } from "../../support/eventually.ts";
import { freePort } from "../../support/free-port.ts";
import { intruder } from "../../support/intruder.ts";
import { needs } from "../../support/needs.ts";
import { Stack } from "../../support/stack.ts";

setDefaultTimeout(30_000);

const timeoutMs = 60_000;

/** Things that nobody of ours wrote, found in the broker: dead-lettered with a reason, and the next one is delivered. */
needs("nats-server", "apt-get install nats-server")("what lies in the broker and should not", () => {
  let stack: Stack;
  let broker: Broker;
  let agentId: string;
  let site: Awaited<ReturnType<Stack["addAgent"]>>["site"];
  const port = freePort();

  beforeAll(async () => {
    stack = await Stack.start({ broker: "nats" });
    broker = await intruder(stack);
    ({ agentId, site } = await stack.addAgent({ allow: [`127.0.0.1:${port}`] }));
    await stack.api.putPlugin(agentId, "files", {
      type: "file",
      config: { down: { directory: site.exchange, name: "{id}.json" } },
    });
    await stack.api.putPlugin(agentId, "hook", { type: "webhook", config: { port, auth: { kind: "none" } } });
    for (const plugin of ["files", "hook"]) await stack.applied(agentId, plugin);
  }, timeoutMs);
  afterAll(async () => {
    await broker?.[Symbol.asyncDispose]();
    await stack?.[Symbol.asyncDispose]();
  });

  let ids = 0;
  const newId = () => `intruder-${++ids}`;
  const message = (text: string) => ({ id: `m-${text}`, time: Date.now(), body: utf8(text) });

  async function applied(text: string): Promise<void> {
    const pushed = await stack.api.push(agentId, "files", JSON.stringify(text), { waitS: 20 });
    expect(pushed.state).toBe("applied");
    expect(await Bun.file(`${site.exchange}/${pushed.id}.json`).text()).toBe(JSON.stringify(text));
  }

  test(
    "on the way down: Mercury says what is wrong with each, and applies what stands beside and behind it",
    async () => {
      const lane = { kind: "down", agent: agentId, plugin: "files" } as const;
      const down = (agent: string, plugin: string, messages: unknown[]) =>
        encodeCbor({ v: 1, agent, plugin, messages } as Parameters<typeof encodeCbor>[0]);
      const bad: readonly (readonly [Uint8Array, string])[] = [
        [utf8("no CBOR at all"), "malformed"],
        [new Uint8Array([0xbf]), "malformed"],
        [encodeCbor({ v: 2, hello: "there" }), "invalid"],
        [down("agt_somebody_else", "files", [message("a")]), "wrong_agent"],
        [down(agentId, "another", [message("b")]), "unknown_plugin"],
        [down(agentId, "files", [{ id: "no body" }, message("beside")]), "invalid"],
      ];
      for (const [bytes] of bad) await broker.publish(lane, bytes, newId());
      await applied("after the bad ones");
      expect(await Bun.file(`${site.exchange}/m-beside.json`).text()).toBe("beside");
      const letters = await eventually("each has its letter", async () => {
        const path = `/dead-letters?agentId=${agentId}&plugin=files`;
        const { items } = await stack.api.call<{ items: { code: string; message: string | null }[] }>("GET", path);
        const found = items.filter(({ code }) => code !== "too_large"); // of another test
        return found.length >= bad.length && found;
      });
      expect(letters.map(({ code }) => code).reverse()).toEqual(bad.map(([, code]) => code));
    },
    timeoutMs,
  );

  test(
    "one that is larger than a session carries: Nexus tells so and goes on with the next",
    async () => {
      const lane = { kind: "down", agent: agentId, plugin: "files" } as const;
      const { subjectOf } = await import("../../../lib/broker/subjects.ts");
      const nats = await connect({
        servers: stack.nats?.url ?? "",
        user: "solaris",
        pass: stack.nats?.passwords.solaris ?? "",
      });
      const id = headers();
      id.set("Nats-Msg-Id", `${agentId}.files.${newId()}`);
      await nats.jetstream().publish(subjectOf(lane), new Uint8Array(entryBytesMax + 10_000), { headers: id });
      await nats.close();
      await applied("after the large one");
      await eventually("it has its letter", async () => {
        const path = `/dead-letters?agentId=${agentId}&plugin=files`;
        const { items } = await stack.api.call<{ items: { code: string }[] }>("GET", path);
        return items.some(({ code }) => code === "too_large");
      });
    },
    timeoutMs,
  );

  test(
    "on the way up: Solaris puts each aside with its reason, and takes what comes behind it",
    async () => {
      const lane = { kind: "up", agent: agentId, plugin: "hook" } as const;
      const up = (generation: number, first: number) =>
        encodeEntry({
          v: 1,
          plugin: "hook",
          generation,
          first,
          messages: [{ kind: "data", id: `x-${first}`, time: Date.now(), body: utf8("not of the site") }],
        });
      const wrongPlugin = encodeEntry({ v: 1, plugin: "files", generation: 1, first: 1, messages: [] });
      await broker.publish(lane, utf8("no CBOR at all"), newId());
      await broker.publish(lane, encodeCbor({ v: 9 }), newId());
      await broker.publish(lane, wrongPlugin, newId());
      await broker.publish(lane, up(1, 1_000), newId());
      await broker.publish({ kind: "up", agent: "agt_nobody", plugin: "hook" }, up(1, 1), newId());
      const answer = await fetch(`http://127.0.0.1:${port}/`, { method: "POST", body: "of the site" });
      expect(answer.status).toBe(202);
      await eventually("the post behind them is received", async () => {
        const all = await stack.api.allReceived({ agentId, plugin: "hook" });
        return all.some(({ body }) => body === "of the site");
      });
      const all = await stack.api.allReceived({ agentId });
      expect(all.filter(({ body }) => body === "not of the site")).toEqual([]);
      interface Quarantined {
        code: string;
        agentId: string | null;
      }
      const { items } = await stack.api.call<{ items: Quarantined[] }>("GET", "/quarantine");
      const codes = items.map(({ code }) => code).reverse();
      expect(codes[0]).toBe("malformed");
      expect(codes[1]).toBe("invalid");
      expect(codes[2]).toMatch(/^(unknown_plugin|invalid)$/);
      expect(codes[3]).toBe("gap");
      expect(codes[4]).toMatch(/^(not_found|unknown_plugin)$/);
    },
    timeoutMs,
  );
});
