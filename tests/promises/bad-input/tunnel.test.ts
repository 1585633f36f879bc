import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { concat, encodeCbor, uint32, utf8 } from "#lib/bytes";
import type { FaultCode } from "#lib/fault";
import { carriedBodyBytesMax, noiseMessageBytesMax, sessionMessageBytesMax, wireMessageBytesMax } from "#lib/limits";
import { encodeEntry, sessionStreams } from "#lib/session";
import { eventually } from "../../support/eventually.ts";
import { freePort } from "../../support/free-port.ts";
import type { MercurySite } from "../../support/mercury-site.ts";
import { Stack } from "../../support/stack.ts";
import { TakenStore } from "../../support/taken-store.ts";

setDefaultTimeout(30_000);

const timeoutMs = 60_000;

interface Quarantined {
  readonly code: string;
  readonly agentId: string | null;
}

/** Who rules a site can say anything on its tunnel: it is told by code or put aside, and good messages still arrive. */
describe("a hostile agent with a valid identity", () => {
  let stack: Stack;
  let agentId: string;
  let site: MercurySite;
  let neighbour: string;
  const port = freePort();

  beforeAll(async () => {
    stack = await Stack.start();
    ({ agentId, site } = await stack.addAgent({ name: "hostile", allow: [`127.0.0.1:${port}`] }));
    ({ agentId: neighbour } = await stack.api.createAgent((await stack.api.createCustomer()).customerId, {
      name: "neighbour",
    }));
    await stack.api.putPlugin(agentId, "hook", { type: "webhook", config: { port, auth: { kind: "none" } } });
    await stack.applied(agentId, "hook");
  }, timeoutMs);
  afterAll(() => stack?.[Symbol.asyncDispose]());

  /** The site in the attacker's hands; then its Mercury runs again, and what it sends arrives. */
  async function attack(work: (taken: TakenStore) => Promise<void>): Promise<void> {
    await site.program.stop();
    {
      await using taken = await TakenStore.open(site);
      await work(taken);
    }
    site.start();
    await stack.online(agentId);
    const body = `good ${crypto.randomUUID()}`;
    await eventually("the listener is up", async () => {
      return (await fetch(`http://127.0.0.1:${port}/`, { method: "POST", body })).status === 202;
    });
    await eventually("the next good message arrives", async () => (await received()).includes(body));
  }

  const received = async () => (await stack.api.allReceived({ agentId })).map(({ body }) => body);
  const quarantined = async () => (await stack.api.call<{ items: Quarantined[] }>("GET", "/quarantine")).items;

  test(
    "handshakes that are no Noise, cut off, or too large end their wire, at once; the next one opens",
    async () => {
      await attack(async (taken) => {
        const handshake = (bytes: number) => new Uint8Array(bytes).fill(1); // its first byte says that it is one
        for (const bad of [
          handshake(1),
          handshake(20), // shorter than a key
          handshake(2_000),
          handshake(noiseMessageBytesMax + 2), // fits the wire, not Noise
          handshake(wireMessageBytesMax + 1),
          handshake(4 * 1024 * 1024),
          new Uint8Array([2, ...new Uint8Array(40)]), // a record before any handshake
          new Uint8Array([9]),
        ]) {
          const socket = await upgraded(taken);
          let told = 0;
          socket.onmessage = () => told++;
          const ended = new Promise((resolve) => socket.addEventListener("close", resolve, { once: true }));
          socket.send(bad);
          await ended;
          expect({ bytes: bad.length, told }).toEqual({ bytes: bad.length, told: 0 });
        }
        const silent = await upgraded(taken); // says nothing, hinders nobody
        await (await taken.session()).link.close("closed");
        silent.close();
      });
    },
    timeoutMs,
  );

  const publish = (more: object = {}) => ({
    type: "publish",
    plugin: "hook",
    generation: 1,
    first: 1,
    count: 0,
    body: utf8("x"),
    ...more,
  });
  const onTheStream: readonly (readonly [string, Uint8Array<ArrayBuffer>, FaultCode])[] = [
    ["what is no CBOR", framed(utf8("no CBOR")), "malformed"],
    ["a map cut off", framed(new Uint8Array([0xa2, 0x64])), "malformed"],
    ["a message of unknown type", framed(encodeCbor({ type: "take-over" })), "invalid"],
    ["one that claims another agent", framed(encodeCbor(publish({ agent: "agt_neighbour" }))), "invalid"],
    ["a plugin that is a path in the broker", framed(encodeCbor(publish({ plugin: "x.data.>" }))), "invalid"],
    ["a length past what a message may have", uint32(sessionMessageBytesMax + 1), "too_large"],
    [
      "an entry past what the broker takes",
      framed(encodeCbor(publish({ body: new Uint8Array(2_097_000) }))),
      "invalid",
    ],
  ];
  for (const [what, bytes, code] of onTheStream)
    test(
      `${what} ends the session with its code`,
      () =>
        attack(async (taken) => {
          for (const name of [sessionStreams.control, sessionStreams.down, sessionStreams.up]) {
            const link = name === sessionStreams.control ? await taken.link() : (await taken.session()).link;
            void link
              .open(name)
              .write(bytes)
              .catch(() => undefined); // it ends while more is to be written
            expect((await link.closed).code).toBe(code);
          }
        }),
      timeoutMs,
    );

  test(
    "entries that Nexus can't look into are put aside by Solaris, each with its reason, and no other agent gets them",
    async () => {
      await attack(async (taken) => {
        const before = (await quarantined()).length;
        const entry = (plugin: string, more: object = {}) =>
          encodeCbor({ v: 1, plugin, generation: 9, first: 1, messages: [], ...more });
        const message = (bytes: number) => ({
          kind: "data" as const,
          id: "m1",
          time: Date.now(),
          body: new Uint8Array(bytes),
        });
        const bad: readonly (readonly [string, Uint8Array<ArrayBuffer>, string])[] = [
          ["hook", utf8("no CBOR"), "malformed"],
          ["hook", encodeCbor({ v: 2, hello: "there" }), "invalid"],
          ["hook", entry("hook", { agent: neighbour }), "invalid"],
          ["hook", entry("hook", { messages: [{ ...message(1), kind: "made-up" }] }), "invalid"],
          ["hook", entry("hook", { messages: [message(carriedBodyBytesMax + 1)] }), "invalid"],
          ["hook", entry("another"), "unknown_plugin"],
          ["made-up", entry("made-up"), "unknown_plugin"],
        ];
        const session = await taken.session();
        for (const [plugin, body] of bad) {
          await session.publish(plugin, 1, body, 0);
          await session.up.until("published");
        }
        // Behind them, on the same session: one that fits is taken.
        const good = {
          v: 1,
          plugin: "hook",
          generation: 9,
          first: 1,
          messages: [{ ...message(0), body: utf8("fits") }],
        };
        await session.publish("hook", 1, encodeEntry(good as Parameters<typeof encodeEntry>[0]), 1);
        await session.up.until("published");
        await eventually("the one that fits is received", async () => (await received()).includes("fits"));
        const put = await eventually("each is put aside", async () => {
          const items = await quarantined();
          return items.length >= before + bad.length && items.slice(0, items.length - before).reverse();
        });
        expect(put.map(({ code }) => code)).toEqual(bad.map(([, , code]) => code));
        expect(put.every(({ agentId: about }) => about === agentId || about === null)).toBe(true);
        expect(await stack.api.allReceived({ agentId: neighbour })).toEqual([]);
        await session.link.close("closed");
      });
    },
    timeoutMs,
  );
});

/** A message as it travels on a stream: behind its length. */
function framed(body: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return concat(uint32(body.length), body);
}

/** A socket that Nexus let in, before any byte of a handshake. */
async function upgraded(taken: TakenStore): Promise<WebSocket> {
  const { url, ...options } = await taken.upgrade();
  const socket: WebSocket = Reflect.construct(WebSocket, [url, options]); // headers are the runtime's own, the DOM's types know none
  await new Promise((resolve, reject) => {
    socket.addEventListener("open", resolve, { once: true });
    socket.addEventListener("close", reject, { once: true });
  });
  return socket;
}
