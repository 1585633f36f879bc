import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Digest } from "#lib/session";
import { ControlWorld, type TestAgent } from "../../support/control-world.ts";

let world: ControlWorld;
let customerId: string;
beforeAll(async () => {
  world = await ControlWorld.start();
  customerId = (await world.customer()).id;
});
afterAll(() => world[Symbol.asyncDispose]());

type Session = Digest["sessions"][number];

function sessionOf(agent: TestAgent, epoch: number, fields: Partial<Session> = {}): Session {
  const facts = { version: "1.0.0", platform: "linux-x64", hostname: "site", bytesUp: 1, bytesDown: 2 };
  return { agentId: agent.id, slot: 0, epoch, address: "192.0.2.7", since: world.clock.now(), ...facts, ...fields };
}

function digest(fields: Partial<Digest>, key?: string, nexus = world.replica?.identity.identifier ?? "") {
  return world.nexus("POST", "digest", { nexus, full: false, sessions: [], ended: [], refusals: [], ...fields }, key);
}

const status = async (agent: TestAgent) => (await world.api("GET", `/agents/${agent.id}/status`)).json;
const kinds = async (agent: TestAgent): Promise<string[]> =>
  (await world.api("GET", `/agents/${agent.id}/events`)).json.items
    .map(({ kind }: { kind: string }) => kind)
    .toSorted();

test("availability is the time in which the probe along the data's path succeeded, since enrollment", async () => {
  const agent = await world.enrolled(customerId);
  const enrolledAt = world.clock.now();
  const minute = 60_000;
  /** To `minutes` behind the enrollment, and what is shown then. */
  const at = async (minutes: number, act: () => Promise<unknown> = async () => undefined) => {
    world.clock.shiftMs += enrolledAt + minutes * minute - world.clock.now();
    await act();
    return (await status(agent)).availability * minutes;
  };
  let last: Session["health"];
  const wells = { one: true, two: true };
  const probe =
    (epoch: number, probes = 1) =>
    async () => {
      for (let number = 1; number <= probes; number++) {
        const plugins = Object.entries(wells).map(([plugin, ok]) => ({
          ...{ plugin, ok, inboxMessages: 0, inboxBytes: 0, outboxMessages: 0, outboxBytes: 0 },
        }));
        const health = { at: world.clock.now() - 86_400_000, desired: 1, plugins }; // a clock that is a day late
        await digest({ sessions: [sessionOf(agent, epoch, { health })] });
        last = health;
        if (number < probes) world.clock.shiftMs += 30_000;
      }
    };
  const heard = (epoch: number) => () => digest({ sessions: [sessionOf(agent, epoch)] });
  const first = await agent.open();
  // A session alone proves nothing of the way to the systems.
  expect(await at(10, heard(first.epoch))).toBeCloseTo(0, 1);
  // Ten minutes of probes that succeed.
  await at(20, probe(first.epoch, 21));
  expect(await at(30)).toBeCloseTo(10, 1);
  // One plugin does not reach its system: that time counts for nothing.
  wells.two = false;
  await at(30, probe(first.epoch, 21));
  expect(await at(40)).toBeCloseTo(10, 1);
  wells.two = true;
  await at(40, probe(first.epoch, 11));
  expect(await at(45)).toBeCloseTo(15, 1);
  // The session stays, the probes end: after three that are missing the last proves nothing, however often a digest repeats it.
  await at(50, () =>
    digest({ full: true, sessions: [sessionOf(agent, first.epoch, last === undefined ? {} : { health: last })] }),
  );
  expect(await at(60, heard(first.epoch))).toBeCloseTo(15.75, 1);
  // They come back; then the tunnel ends.
  await at(60, probe(first.epoch, 11));
  await digest({
    ended: [{ agentId: agent.id, slot: 0, epoch: first.epoch, at: world.clock.now(), code: "wire_lost" }],
  });
  expect(await at(100)).toBeCloseTo(20.75, 1);
  const second = await agent.open();
  expect(await at(110, heard(second.epoch))).toBeCloseTo(20.75, 1);
  // History tells of what changed: what the plugins are, then twice a change; not of every probe.
  expect((await kinds(agent)).filter((kind) => kind === "plugin-changed")).toHaveLength(3);
});
