import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../support/eventually.ts";
import { needs } from "../support/needs.ts";
import { ApiProblem } from "../support/solaris-api.ts";
import { type NexusProgram, Stack } from "../support/stack.ts";

setDefaultTimeout(30_000);

const timeoutMs = 90_000;

/** Pushes while `disturb` works; then every message must be a file, once. */
async function pushThrough({ stack, agentId, inbound }: World, disturb: () => Promise<void>): Promise<void> {
  const before = new Set(readdirSync(inbound));
  const ids: string[] = [];
  let disturbed = false;
  const disturbance = disturb().finally(() => {
    disturbed = true;
  });
  disturbance.catch(() => undefined); // awaited below
  while (!disturbed || ids.length < 50) {
    const items = [{ body: `"${ids.length}"` }, { body: '"x"' }];
    const pushed = await stack.api.pushBatch(agentId, "files", items).catch((error) => {
      if (error instanceof ApiProblem && error.status === 503) return []; // told, so nothing was promised
      throw error;
    });
    ids.push(...pushed.map(({ id }) => id));
    await Bun.sleep(5);
  }
  await disturbance;
  await eventually("all are applied", async () => {
    const last = ids.at(-1);
    return last !== undefined && (await stack.api.message(last)).state === "applied";
  });
  const names = readdirSync(inbound).filter((name) => !before.has(name));
  expect(ids.filter((id) => !names.includes(`${id}.json`))).toEqual([]);
}

/** A system with one agent whose file plugin writes into `inbound`. */
interface World {
  readonly stack: Stack;
  readonly agentId: string;
  readonly inbound: string;
}

async function makeWorld(nexusReplicas: number): Promise<World> {
  const stack = await Stack.start({ broker: "nats", nexusReplicas });
  const { agentId, site } = await stack.addAgent();
  const inbound = join(site.exchange, "in");
  mkdirSync(inbound);
  const config = { down: { directory: inbound, name: "{id}.json" } };
  await stack.api.putPlugin(agentId, "files", { type: "file", config });
  await stack.applied(agentId, "files");
  return { stack, agentId, inbound };
}

async function sessionsOf({ address }: NexusProgram): Promise<number> {
  const metrics = await (await fetch(`${address}/metrics`)).text();
  return Number(/^nexus_sessions (\d+)/m.exec(metrics)?.[1]);
}

needs("nats-server", "apt-get install nats-server")("a Nexus that goes and comes back", () => {
  let world: World;

  beforeAll(async () => {
    world = await makeWorld(1);
  }, timeoutMs);

  afterAll(async () => {
    await world?.stack[Symbol.asyncDispose]();
  }, timeoutMs);

  const online = async () => (await world.stack.api.status(world.agentId)).online;
  const nexus = () => {
    const [only] = world.stack.nexuses;
    if (only === undefined) throw new TypeError("there is no Nexus");
    return only;
  };

  test(
    "killed: the agent returns, and nothing is missing",
    () =>
      pushThrough(world, async () => {
        await nexus().program.kill();
        await world.stack.startNexus(nexus());
        await eventually("the agent is back", online);
      }),
    timeoutMs,
  );

  test(
    "told to end: it drains, ends with 0, and nothing is missing",
    () =>
      pushThrough(world, async () => {
        expect(await nexus().program.stop("SIGTERM")).toBe(0);
        await world.stack.startNexus(nexus());
        await eventually("the agent is back", online);
      }),
    timeoutMs,
  );

  test(
    "nats-server killed under it: it goes on, and nothing is missing",
    () =>
      pushThrough(world, async () => {
        await world.stack.nats?.program.kill();
        await world.stack.startNats();
        await eventually("Nexus is ready again", async () => (await fetch(`${nexus().address}/readyz`)).ok);
      }),
    timeoutMs,
  );
});

needs("nats-server", "apt-get install nats-server")("two replicas of one Nexus", () => {
  test(
    "the one that is told to end hands its agent to the other, and nothing is missing",
    async () => {
      const world = await makeWorld(2);
      await using _ = world.stack;
      const holders = await Promise.all(
        world.stack.nexuses.map(async (nexus) => ({ nexus, has: await sessionsOf(nexus) })),
      );
      const held = holders.find(({ has }) => has > 0)?.nexus;
      const other = holders.find(({ has }) => has === 0)?.nexus;
      if (held === undefined || other === undefined) throw new TypeError("one replica has the session");
      await pushThrough(world, async () => {
        expect(await held.program.stop("SIGTERM")).toBe(0);
        await eventually("the other has the session", async () => (await sessionsOf(other)) === 1);
      });
      expect(held.program.log).not.toContain('"timeout"');
    },
    timeoutMs,
  );
});
