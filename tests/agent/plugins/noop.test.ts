import { expect, test } from "bun:test";
import { utf8 } from "#lib/bytes";
import { eventually } from "#support/eventually";
import { killedAt, PluginWorld } from "./plugin-world.ts";

test("noop takes everything and counts it", async () => {
  await using world = await PluginWorld.open();
  const plugin = await world.start("noop", { down: {} });
  for (let index = 0; index < 3; index++)
    await plugin.deliver?.({ id: `${index}`, body: utf8("1234") }, new AbortController().signal);
  expect(plugin.facts?.()).toMatchObject({ delivered: 3, deliveredBytes: 12 });
});

test("noop makes so many messages, numbered, over restarts", async () => {
  await using world = await PluginWorld.open();
  const up = { messages: 250, bodyBytes: 64, batch: 100 };
  const host = killedAt(world.host, 2, "after");
  await world.start("noop", { up }, host);
  await host.killed;
  const plugin = await world.start("noop", { up });
  await eventually("all emitted", () => plugin.facts?.().emitted === 250);
  const bodies = (await world.outbox()).map(({ body }) => body);
  expect(bodies.every((body) => body.length === 64)).toBe(true);
  expect(bodies.map((body) => Number(new DataView(body.buffer, body.byteOffset).getBigUint64(0)))).toEqual(
    Array.from({ length: 250 }, (_, index) => index),
  );
});

test("noop keeps to its rate", async () => {
  await using world = await PluginWorld.open();
  const began = performance.now();
  const plugin = await world.start("noop", { up: { messages: 50, bodyBytes: 8, batch: 10, perSecond: 100 } });
  await eventually("all emitted", () => plugin.facts?.().emitted === 50);
  expect(performance.now() - began).toBeGreaterThan(350);
});
