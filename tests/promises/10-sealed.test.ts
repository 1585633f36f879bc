import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Broker } from "#lib/broker";
import { DownLane } from "../support/down-lane.ts";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/free-port.ts";
import { intruder } from "../support/intruder.ts";
import { searchMemory } from "../support/memory-search.ts";
import { needs } from "../support/needs.ts";
import { dump, siteDatabase, solarisDatabase } from "../support/opened-stores.ts";
import { searchFiles, searchText } from "../support/secret-search.ts";
import { Stack } from "../support/stack.ts";

setDefaultTimeout(120_000);

const marker = (name: string) => `${name}-${Buffer.from(crypto.getRandomValues(new Uint8Array(12))).toString("hex")}`;
const down = marker("sealed-down");
const up = marker("sealed-up");
const openDown = marker("open-down");
const openUp = marker("open-up");
const planted = marker("planted");

/** Promise 10, messages: sealed ones are plaintext at their two ends alone. Each place is first shown to be searched. */
needs("nats-server", "apt-get install nats-server")("a sealed message", () => {
  let stack: Stack;
  let broker: Broker;
  let agentId: string;
  let site: Awaited<ReturnType<Stack["addAgent"]>>["site"];
  const ports = { sealed: freePort(), open: freePort() };
  const sealed = [
    { name: "the sealed message down", bytes: Buffer.from(down) },
    { name: "the sealed message up", bytes: Buffer.from(up) },
  ];
  const open = [
    { name: "the open message down", bytes: Buffer.from(openDown) },
    { name: "the open message up", bytes: Buffer.from(openUp) },
  ];
  const control = { name: "the control marker", bytes: Buffer.from(planted) };

  beforeAll(async () => {
    stack = await Stack.start({ broker: "nats" });
    broker = await intruder(stack);
    const allow = [`127.0.0.1:${ports.sealed}`, `127.0.0.1:${ports.open}`];
    ({ agentId, site } = await stack.addAgent({ allow, name: planted }));
    const files = { type: "file", config: { down: { directory: site.exchange, name: "{id}.json" } } };
    const hook = (port: number) => ({ type: "webhook", config: { port, auth: { kind: "none" } } });
    await stack.api.putPlugin(agentId, "files", { ...files, sealed: true });
    await stack.api.putPlugin(agentId, "hook", { ...hook(ports.sealed), sealed: true });
    await stack.api.putPlugin(agentId, "open-files", files);
    await stack.api.putPlugin(agentId, "open-hook", hook(ports.open));
    for (const plugin of ["files", "hook", "open-files", "open-hook"]) await stack.applied(agentId, plugin);
  });
  afterAll(async () => {
    await broker?.[Symbol.asyncDispose]();
    await stack?.[Symbol.asyncDispose]();
  });

  const post = (port: number, body: string) => fetch(`http://127.0.0.1:${port}/`, { method: "POST", body });
  const fileOf = (id: string) => Bun.file(join(site.exchange, `${id}.json`)).text();
  /** How often a key was taken out for an agreement or an unsealing, and to sign; how many tunnels were opened. */
  const kmsUses = async () => {
    await using database = await solarisDatabase(stack);
    const sql = `SELECT operation, sum(count) AS count FROM kms_uses GROUP BY operation
      UNION ALL SELECT 'opening', count(*) FROM openings WHERE outcome = 'accepted'`;
    const rows = await database.read<{ operation: string; count: number }>(sql);
    const of = (operation: string) => rows.find((row) => row.operation === operation)?.count ?? 0;
    return { taken: of("agree") + of("unseal") - of("opening"), signed: of("sign"), opened: of("opening") };
  };

  test("is ciphertext in the broker, and plaintext at the site", async () => {
    await site.program.stop();
    const pushed = await stack.api.push(agentId, "files", JSON.stringify(down));
    const open = await stack.api.push(agentId, "open-files", JSON.stringify(openDown));
    const bytesOf = async (plugin: string) =>
      Buffer.from((await new DownLane(broker, agentId, plugin).read(1))[0]?.bytes ?? []);
    expect((await bytesOf("open-files")).includes(openDown)).toBe(true);
    expect((await bytesOf("files")).includes(down)).toBe(false);
    site.start();
    for (const [{ id }, text] of [
      [pushed, down],
      [open, openDown],
    ] as const) {
      await eventually(`${text} is applied`, async () => (await stack.api.message(id)).state === "applied", {
        timeoutMs: 30_000,
      });
      expect(await fileOf(id)).toBe(JSON.stringify(text));
    }
  });

  test("comes up to whoever may read it, opened", async () => {
    await stack.online(agentId);
    expect((await post(ports.sealed, up)).status).toBe(202);
    expect((await post(ports.open, openUp)).status).toBe(202);
    const received = await eventually("both are received", async () => {
      const items = await stack.api.allReceived({ agentId });
      return [up, openUp].every((text) => items.some(({ body }) => body === text)) && items;
    });
    expect(received.find(({ body }) => body === up)).toMatchObject({ plugin: "hook", sealed: true });
    expect(received.find(({ body }) => body === openUp)).toMatchObject({ plugin: "open-hook", sealed: false });
  });

  test("takes no key out of the KMS", async () => {
    const before = await kmsUses();
    expect(before.opened).toBeGreaterThan(0);
    for (let index = 0; index < 20; index++) await stack.api.push(agentId, "files", `"${down} ${index}"`);
    const last = await stack.api.push(agentId, "files", `"${down} last"`, { waitS: 20 });
    expect(last.state).toBe("applied");
    const after = await kmsUses();
    expect(after.taken).toBe(before.taken);
    expect(after.signed - before.signed).toBeLessThan(5); // a checkpoint or a credential may fall between
  });

  test("is in no memory of Nexus", async () => {
    const pid = stack.nexuses[0]?.program.pid ?? 0;
    // What passed a moment ago is still there, or was until something else needed the place: so it is sent until it is seen.
    await eventually(
      "the control marker is found",
      async () => {
        await stack.api.push(agentId, "open-files", JSON.stringify(openDown));
        await stack.api.push(agentId, "files", JSON.stringify(down));
        await post(ports.open, openUp);
        await post(ports.sealed, up);
        return (await searchMemory(pid, open)).found.length > 0;
      },
      { timeoutMs: 60_000 },
    );
    expect((await searchMemory(pid, sealed)).found).toEqual([]);
  });

  test("is in no file, no log and no row of any database", async () => {
    writeFileSync(join(stack.directory, "nats", "control-marker"), planted);
    const folders = stack.dataDirectories;
    expect((await searchFiles(folders, [control])).map(({ place }) => place)).toContain(
      join(stack.directory, "nats", "control-marker"),
    );
    expect(await searchFiles(folders, sealed)).toEqual([]);

    const logs = stack.logFiles.map((path) => [path, readFileSync(path, "utf8")] as const);
    const plugin = { name: "a plugin's name", bytes: Buffer.from("open-files") };
    expect(logs.flatMap(([path, text]) => searchText(path, text, [plugin]))).not.toEqual([]);
    expect(logs.flatMap(([path, text]) => searchText(path, text, sealed))).toEqual([]);

    await using solaris = await solarisDatabase(stack);
    const rows = await dump(solaris);
    expect(searchText("Solaris' database", rows, [{ ...control, bytes: Buffer.from(agentId) }])).not.toEqual([]);
    expect(searchText("Solaris' database", rows, sealed)).toEqual([]);
    await site.program.stop();
    await using store = await siteDatabase(site);
    const kept = await dump(store);
    expect(searchText("Mercury's store", kept, [{ ...control, bytes: Buffer.from(agentId) }])).not.toEqual([]);
    expect(searchText("Mercury's store", kept, sealed)).toEqual([]);
    await store[Symbol.asyncDispose]();
    site.start();
    await stack.online(agentId);
  });

  test("that was sealed to a key before a rotation is opened after it", async () => {
    await site.program.stop();
    const pushed = await stack.api.push(agentId, "files", `"before the rotation"`);
    expect((await site.cli(["identity", "rotate"])).output).toContain("Change 2");
    site.start();
    await eventually("it is applied", async () => (await stack.api.message(pushed.id)).state === "applied", {
      timeoutMs: 30_000,
    });
    await eventually("the rotation is done", async () => {
      const shown = await stack.api.call<{ trust: { identity: { kid: string } } }>("GET", `/agents/${agentId}`);
      return site.program.log.includes("identity rotated") && shown.trust.identity.kid.length > 0;
    });
    const after = await stack.api.push(agentId, "files", `"after the rotation"`, { waitS: 20 });
    expect(after.state).toBe("applied");
    await post(ports.sealed, "up after the rotation");
    await eventually("what comes up is taken", async () =>
      (await stack.api.allReceived({ agentId, plugin: "hook" })).some(({ body }) => body === "up after the rotation"),
    );
  });
});
