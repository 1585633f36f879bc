import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdir, readdir, readFile, rename, rm, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fromUtf8, utf8 } from "#lib/bytes";
import { eventually } from "#support/eventually";
import { expectFault } from "#support/faults";
import type { Plugin, PluginHost } from "../../../agent/plugins/plugin.ts";
import { killedAt, PluginWorld, type WorldOptions } from "./plugin-world.ts";

setDefaultTimeout(30_000);

const opened: AsyncDisposable[] = [];
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one[Symbol.asyncDispose]();
});

/** A world with an allowed folder; `secret` beside it is not allowed. */
async function site(options: WorldOptions = {}): Promise<{ world: PluginWorld; folder: string; secret: string }> {
  const root = await PluginWorld.folder();
  const [folder, secret] = [join(root, "share"), join(root, "secret")];
  await mkdir(folder);
  await mkdir(secret);
  const world = await PluginWorld.open({ directories: [folder], ...options });
  world.keepFolder(root);
  opened.push(world);
  return { world, folder, secret };
}

const never = new AbortController().signal;
const deliver = async (plugin: Plugin, id: string, body: string) => {
  if (plugin.deliver === undefined) throw new TypeError("takes no messages");
  await plugin.deliver({ id, body: utf8(body) }, never);
};
const visible = async (folder: string) => (await readdir(folder)).filter((name) => !name.startsWith(".")).sort();

describe("a message as a file", () => {
  test("is there whole, under a name with its id, readable by group and not by all", async () => {
    const { world, folder } = await site();
    const plugin = await world.start("file", { down: { directory: folder, name: "order-{id}.xml" } });
    await deliver(plugin, "a1", "<x/>");
    expect(await readdir(folder)).toEqual(["order-a1.xml"]);
    expect(await readFile(join(folder, "order-a1.xml"), "utf8")).toBe("<x/>");
    expect((await stat(join(folder, "order-a1.xml"))).mode & 0o007).toBe(0);
    await plugin.check(never);
    expect(await readdir(folder)).toEqual(["order-a1.xml"]);
  });

  test("comes once, wherever Mercury is killed, even when it was fetched before the repeat", async () => {
    for (const when of ["before", "after"] as const) {
      const { world, folder } = await site();
      const config = { down: { directory: folder } };
      const host = killedAt(world.host, 1, when);
      void deliver(world.make("file", config, host), "a", "one");
      await host.killed;
      expect(await visible(folder)).toEqual([]);
      await deliver(world.make("file", config), "a", "one");
      expect(await visible(folder)).toEqual(["a.json"]);
      await rm(join(folder, "a.json")); // its reader took it; Mercury was killed before it noted that
      await deliver(world.make("file", config), "a", "one");
      expect(await readdir(folder)).toEqual([]);
      await deliver(world.make("file", config), "b", "two");
      await deliver(world.make("file", config), "b", "two");
      expect(await readdir(folder)).toEqual(["b.json"]);
    }
  });

  test("waits while the directory is gone, and is refused nowhere else than in an allowed one", async () => {
    const { world, folder, secret } = await site();
    const out = join(folder, "out");
    await mkdir(out);
    const plugin = await world.start("file", { down: { directory: out } });
    await rename(out, `${out}-away`);
    await expectFault(deliver(plugin, "a", "x"), "system_unavailable");
    await expectFault(plugin.check(never), "not_found");
    await symlink(secret, out);
    await expectFault(deliver(plugin, "a", "x"), "not_allowed_here");
    expect(await readdir(secret)).toEqual([]);
    await rm(out);
    await rename(`${out}-away`, out);
    await deliver(plugin, "a", "x");
    expect(await visible(out)).toEqual(["a.json"]);
  });

  test("with an id that is no name is refused", async () => {
    const { world, folder } = await site();
    const plugin = world.make("file", { down: { directory: folder } });
    for (const id of ["../a", "a/b", "", "a".repeat(65), "a\0"]) await expectFault(deliver(plugin, id, "x"), "refused");
    expect(await readdir(folder)).toEqual([]);
  });

  test.each(["a:{id}", "{id}.", "{id} ", "nul\u0000{id}", "{id}*", "{id}".padEnd(200, "é")])(
    "the name %j can't be configured",
    async (name) => {
      const { world, folder } = await site();
      await expectFault(() => world.make("file", { down: { directory: folder, name } }), "config");
    },
  );
});

describe("files picked up", () => {
  const up = (directory: string, more: Record<string, unknown> = {}) => ({ up: { directory, settleMs: 50, ...more } });
  const texts = async (world: PluginWorld, count: number) =>
    await eventually(`${count} messages`, async () => {
      const all = await world.texts();
      return all.length >= count ? all : undefined;
    });

  test("go up whole and once, oldest first, with type and name, and into the archive", async () => {
    const { world, folder } = await site();
    for (const [index, name] of ["c.csv", "b.xml", "a — ü.bin"].entries()) {
      await writeFile(join(folder, name), name);
      await utimes(join(folder, name), 1_700_000_000 + index, 1_700_000_000 + index);
    }
    const plugin = await world.start("file", up(folder));
    expect(await texts(world, 3)).toEqual(["c.csv", "b.xml", "a — ü.bin"]);
    expect((await world.outbox()).map(({ contentType }) => contentType)).toEqual([
      'text/csv; name="c.csv"',
      'application/xml; name="b.xml"',
      "application/octet-stream; name*=UTF-8''a%20%E2%80%94%20%C3%BC.bin",
    ]);
    await eventually("archived", async () => (await readdir(join(folder, "archive"))).length === 3);
    expect(await readdir(folder)).toEqual(["archive"]);
    const archived = await readdir(join(folder, "archive"));
    expect(archived.find((name) => name.endsWith("c.csv"))).toStartWith("20231114T221320Z-");
    await writeFile(join(folder, "c.csv"), "the next one of that name");
    await texts(world, 4);
    await eventually("archived beside the first", async () => (await readdir(join(folder, "archive"))).length === 4);
    expect(plugin.facts?.().collected).toBe(4);
    expect(plugin.trouble?.()).toBeUndefined();
  });

  test("are told by a change at once, deleted where so configured, and matched by pattern", async () => {
    const { world, folder } = await site();
    await world.start("file", up(folder, { pattern: "in-*.tx?", after: "delete" }));
    for (const name of ["in-1.txt", "in-2.tmp", ".in-3.txt", "out-1.txt"]) await writeFile(join(folder, name), name);
    expect(await texts(world, 1)).toEqual(["in-1.txt"]);
    await eventually("deleted", async () => !(await readdir(folder)).includes("in-1.txt"));
    expect((await readdir(folder)).sort()).toEqual([".in-3.txt", "in-2.tmp", "out-1.txt"]);
  });

  test("are left alone while they grow", async () => {
    const { world, folder } = await site();
    const path = join(folder, "growing");
    await writeFile(path, "");
    await world.start("file", up(folder, { settleMs: 500 }));
    let content = "";
    for (let part = 0; part < 12; part++) {
      content += `part ${part}\n`;
      await writeFile(path, content);
      await Bun.sleep(100);
    }
    expect(await texts(world, 1)).toEqual([content]);
  }, 20_000);

  test("come neither twice nor not at all, wherever Mercury is killed", async () => {
    for (const after of ["archive", "delete"])
      for (const when of ["before", "after"] as const)
        for (const call of [1, 2]) {
          const { world, folder } = await site();
          for (const name of ["a", "b", "c"]) await writeFile(join(folder, name), `file ${name}`);
          const host = killedAt(world.host, call, when);
          const killed = collecting(world, up(folder, { after }), host);
          await host.killed;
          void killed;
          await writeFile(join(folder, "d"), "file d");
          await world.start("file", up(folder, { after }));
          await texts(world, 4);
          await eventually(
            "put away",
            async () => (await readdir(folder)).filter((name) => name !== "archive").length === 0,
          );
          expect((await world.texts()).sort()).toEqual(["file a", "file b", "file c", "file d"]);
          expect(await world.host.recall("picked")).toBeUndefined();
        }
  }, 60_000);

  test("that change between being stored and being put away go up again", async () => {
    const { world, folder } = await site();
    const path = join(folder, "a");
    await writeFile(path, "first");
    const host: PluginHost = {
      ...world.host,
      emit: async (messages, remember) => {
        const ids = await world.host.emit(messages, remember);
        if (messages.length > 0 && (await readFile(path, "utf8")) === "first") await writeFile(path, "second, longer");
        return ids;
      },
    };
    const plugin = await world.start("file", up(folder), host);
    opened.push(plugin);
    expect(await texts(world, 2)).toEqual(["first", "second, longer"]);
  });

  test("wait while the outbox is full", async () => {
    const { world, folder } = await site({ outboxBytes: 2 * 1024 * 1024 });
    for (let index = 0; index < 5; index++) await writeFile(join(folder, `f${index}`), String(index).padEnd(900_000));
    const plugin = await world.start("file", up(folder));
    await eventually("full", () => plugin.trouble?.()?.includes("full"));
    const seen: string[] = [];
    await eventually("all", async () => {
      seen.push(...(await world.take()).map(({ body }) => fromUtf8(body).trim()));
      return seen.length >= 5;
    });
    expect(seen.sort()).toEqual(["0", "1", "2", "3", "4"]);
  }, 30_000);

  test("larger than a message may be are moved aside with the reason, and the others go on", async () => {
    const { world, folder } = await site();
    await writeFile(join(folder, "big.bin"), new Uint8Array(1024 * 1024 + 1));
    await writeFile(join(folder, "limit.bin"), "x".repeat(1024 * 1024));
    const plugin = await world.start("file", up(folder));
    await texts(world, 1);
    const rejected = await eventually("rejected", async () => {
      const names = await visible(join(folder, "rejected"));
      return names.length === 2 ? names : undefined;
    });
    expect(rejected.some((name) => name.endsWith("big.bin"))).toBe(true);
    const reason = rejected.find((name) => name.endsWith("reason.txt")) ?? "";
    expect(await readFile(join(folder, "rejected", reason), "utf8")).toContain("larger than");
    expect(plugin.facts?.()).toMatchObject({ rejected: 1 });
  });

  test("are regular files only: no link, no pipe, no folder", async () => {
    const { world, folder, secret } = await site();
    await writeFile(join(secret, "shadow"), "root:x");
    await symlink(join(secret, "shadow"), join(folder, "link"));
    await mkdir(join(folder, "sub"));
    await writeFile(join(folder, "sub", "deep"), "deep");
    expect(Bun.spawnSync(["mkfifo", join(folder, "pipe")]).exitCode).toBe(0);
    await writeFile(join(folder, "plain"), "plain");
    const plugin = await world.start("file", up(folder));
    expect(await texts(world, 1)).toEqual(["plain"]);
    await plugin.collectNow?.();
    await Bun.sleep(100);
    await plugin.collectNow?.();
    expect(await world.texts()).toEqual(["plain"]);
    expect(await readFile(join(secret, "shadow"), "utf8")).toBe("root:x");
  });

  test("are not put away through a link, and then not sent again either", async () => {
    const { world, folder, secret } = await site();
    await symlink(secret, join(folder, "archive"));
    await writeFile(join(folder, "a"), "a");
    const plugin = await world.start("file", up(folder));
    await texts(world, 1);
    await eventually("trouble", () => plugin.trouble?.()?.includes("put away"));
    await plugin.collectNow?.();
    await plugin[Symbol.asyncDispose]();
    const next = await world.start("file", up(folder));
    await eventually("trouble again", () => next.trouble?.()?.includes("put away"));
    expect(await world.texts()).toEqual(["a"]);
    expect(await readdir(secret)).toEqual([]);
    await rm(join(folder, "archive"));
    await next.collectNow?.();
    expect(await readdir(folder)).toEqual(["archive"]);
    expect(next.trouble?.()).toBeUndefined();
  });

  test("go on coming after the directory was gone for a while", async () => {
    const { world, folder } = await site();
    const plugin = await world.start("file", up(folder));
    await rename(folder, `${folder}-away`);
    await expectFault(plugin.collectNow?.() ?? Promise.resolve(), "not_found");
    await plugin[Symbol.asyncDispose]();
    const next = await world.start("file", up(folder)); // a restart while the share is not mounted
    await eventually("trouble", () => next.trouble?.());
    await rename(`${folder}-away`, folder);
    await writeFile(join(folder, "a"), "a");
    expect(await texts(world, 1)).toEqual(["a"]);
  }, 20_000);

  test("come from no directory that is not allowed, or never was there", async () => {
    const { world, folder, secret } = await site();
    await expectFault(world.start("file", up(secret)), "not_allowed_here");
    await symlink(secret, join(folder, "way-out"));
    await expectFault(world.start("file", up(join(folder, "way-out"))), "not_allowed_here");
    await expectFault(world.start("file", up(join(folder, "none"))), "not_found");
  });

  test("by the thousand", async () => {
    const { world, folder } = await site();
    await Promise.all(Array.from({ length: 1_000 }, (_, index) => writeFile(join(folder, `f${index}`), String(index))));
    await world.start("file", up(folder, { after: "delete" }));
    const all = await texts(world, 1_000);
    expect(all.map(Number).sort((a, b) => a - b)).toEqual(Array.from({ length: 1_000 }, (_, index) => index));
    await eventually("all put away", async () => (await readdir(folder)).length === 0);
  }, 30_000);
});

/** Collects until its host stops it for ever. */
async function collecting(world: PluginWorld, config: unknown, host: PluginHost): Promise<void> {
  const plugin = world.make("file", config, host);
  while (plugin.collectNow !== undefined) {
    await plugin.collectNow();
    await Bun.sleep(30);
  }
}
