import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Usage } from "#lib/broker";
import { makeLog } from "#lib/log";
import { Registry } from "#lib/metrics";
import { eventually } from "#support/eventually";
import { fillingOf, watchBrokerUsage } from "../../../control/monitoring/broker-usage.ts";
import { ControlWorld } from "../../support/control-world.ts";

let world: ControlWorld;
beforeAll(async () => {
  world = await ControlWorld.start();
});
afterAll(() => world[Symbol.asyncDispose]());

/** Two replicas that look at the same streams; what they log. */
function watchers(streams: () => readonly Usage[]) {
  const lines: string[] = [];
  const registry = new Registry();
  const make = (metrics: Registry) =>
    watchBrokerUsage(
      {
        ...world.solaris.slices,
        log: makeLog((level, _names, text, fields) => lines.push(`${level} ${text} ${fields.stream}`)),
        broker: { usage: async () => [...streams()] },
      },
      metrics,
    );
  const both = [make(registry), make(new Registry())];
  return { lines, registry, look: () => Promise.all(both.map((one) => one.look())) };
}

const warnings = async (query = "") => (await world.api("GET", `/warnings${query}`)).json.items;

describe("a stream of the broker that fills up", () => {
  test("is warned of once at 70 %, whoever looks; it is cleared at 60 % and not between", async () => {
    let share = 0.1;
    const streams = () => [
      { name: "UP", bytes: share * 1_000, bytesMax: 1_000, refuses: true },
      { name: "EVENTS", bytes: 1_000, bytesMax: 1_000, refuses: false },
    ];
    const { lines, registry, look } = watchers(streams);
    const at = async (now: number) => {
      share = now;
      for (let round = 0; round < 3; round++) await look();
      return warnings("?open=true");
    };
    expect(await at(0.69)).toEqual([]);
    expect(await at(0.7)).toMatchObject([{ kind: "broker-filling", subject: "UP", clearedAt: null }]);
    expect(await at(0.9)).toHaveLength(1);
    expect(await at(0.65)).toHaveLength(1);
    expect(await at(0.71)).toHaveLength(1);
    expect(await at(0.6)).toEqual([]);
    expect(await at(0.65)).toEqual([]);
    expect(await at(0.75)).toHaveLength(1);
    expect(await at(0.2)).toEqual([]);
    expect(await warnings()).toHaveLength(2);
    expect(await warnings("?open=false")).toHaveLength(2);
    expect(await warnings("?limit=1")).toMatchObject([{ detail: { bytes: 750, bytesMax: 1_000 } }]);
    const filling = "warn a stream of the broker fills up UP";
    const relieved = "info a stream of the broker has room again UP";
    expect(lines).toEqual([filling, relieved, filling, relieved]);
    expect(await registry.metrics()).toContain('solaris_broker_stream_bytes{stream="EVENTS"} 1000');
    expect(await registry.metrics()).toContain('solaris_broker_stream_bytes_max{stream="UP"} 1000');
  });

  test("is no matter of a customer's key", async () => {
    const { id } = await world.customer();
    const wanted = { name: "theirs", scopes: ["monitoring:read"], customerId: id };
    const { key } = (await world.api("POST", "/keys", wanted)).json;
    expect((await world.api("GET", "/warnings", undefined, { key })).json.code).toBe("forbidden");
  });

  test("one that drops its oldest is meant to be full", () => {
    const full = { name: "EVENTS", bytes: 10, bytesMax: 10 };
    expect(fillingOf({ ...full, refuses: false })).toBe("relieved");
    expect(fillingOf({ ...full, refuses: true })).toBe("filling");
  });

  test("Solaris' own metrics know the streams", async () => {
    const metrics = await (await world.solaris.fetch(new Request("http://solaris.test/metrics"))).text();
    expect(metrics).toContain("# TYPE solaris_broker_stream_bytes gauge");
  });
});

test("Solaris publishes what it receives as events when its setting says so", async () => {
  await using publishing = await ControlWorld.start({ publishEvents: true });
  const held = async (one: ControlWorld) =>
    (await one.database.read<{ name: string }>("SELECT name FROM leases WHERE name = 'events'")).length;
  await eventually("the events are published by somebody", async () => (await held(publishing)) === 1);
  expect(await held(world)).toBe(0);
});
