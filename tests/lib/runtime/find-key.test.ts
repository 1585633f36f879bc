import { describe, expect, test } from "bun:test";
import { readFile, stat, writeFile } from "node:fs/promises";
import { Fault } from "#lib/fault";
import { findKey, forgetKey, type KeyStore, systemRandom } from "#lib/runtime";
import { expectFault } from "../../support/faults.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

const key = (mark: string) => mark.repeat(32);

/** A key store in memory, as the ports of the real ones behave. */
function memoryStore(): KeyStore & { secret: string | undefined } {
  return {
    secret: undefined,
    async get() {
      return this.secret;
    },
    async set(_entry, secret) {
      this.secret = secret;
    },
    async delete() {
      this.secret = undefined;
    },
  };
}

describe("key sources", () => {
  test("the first source that has a key wins: systemd, environment, key store, file", async () => {
    await using folder = await temporaryFolder();
    const sources = {
      credential: "store.key",
      variable: "STORE_KEY",
      keyStore: { service: "mercury", account: "store" },
      file: folder.file("key"),
    };
    const store = memoryStore();
    const environment: Record<string, string> = {};
    const find = () => findKey(sources, { environment, random: systemRandom, keyStore: store }, { create: false });
    expect(await find()).toBeUndefined();
    await writeFile(sources.file, `${key("f")}\n`, { mode: 0o600 });
    expect(await find()).toEqual({ key: key("f"), source: "file", created: false });
    store.secret = key("s");
    expect((await find())?.source).toBe("key store");
    environment.STORE_KEY = key("e");
    expect(await find()).toEqual({ key: key("e"), source: "environment", created: false });
    environment.CREDENTIALS_DIRECTORY = folder.path;
    await writeFile(folder.file("store.key"), key("c"), { mode: 0o400 });
    expect((await find())?.source).toBe("systemd");
  });

  test("a new key goes to the key store, or to a private file where there is none or it refuses", async () => {
    await using folder = await temporaryFolder();
    const sources = {
      credential: "c",
      variable: "V",
      keyStore: { service: "mercury", account: "store" },
      file: folder.file("etc/key"),
    };
    const make = (keyStore: KeyStore | undefined) =>
      findKey(sources, { environment: {}, random: systemRandom, keyStore }, { create: true });
    const store = memoryStore();
    const first = await make(store);
    expect(first).toMatchObject({ source: "key store", created: true });
    expect(store.secret).toBe(first?.key ?? "");
    const locked: KeyStore = {
      get: async () => undefined,
      set: async () => {
        throw new Fault("unavailable");
      },
      delete: async () => undefined,
    };
    const second = await make(locked);
    expect(second).toMatchObject({ source: "file", created: true });
    expect((await readFile(sources.file, "utf8")).trim()).toBe(second?.key ?? "");
    expect((await stat(sources.file)).mode & 0o777).toBe(0o600);
    expect(second?.key).toMatch(/^[0-9a-f]{64}$/);
    expect(await make(undefined)).toEqual({ key: second?.key ?? "", source: "file", created: false });
  });

  test("a key that is too short, or that others may read, is refused rather than passed over", async () => {
    await using folder = await temporaryFolder();
    const sources = {
      credential: "c",
      variable: "V",
      keyStore: { service: "mercury", account: "store" },
      file: folder.file("key"),
    };
    const find = (environment: Record<string, string>) =>
      findKey(sources, { environment, random: systemRandom, keyStore: undefined }, { create: true });
    await expectFault(find({ V: "short" }), "config");
    await writeFile(sources.file, key("f"), { mode: 0o644 });
    await expectFault(find({}), "config");
  });
});

describe("forgetting a key", () => {
  const entry = { service: "mercury", account: "store" };

  test("removes what was made, where it was made, and says where that was", async () => {
    await using folder = await temporaryFolder();
    const sources = { credential: "c", variable: "V", keyStore: entry, file: folder.file("key") };
    const store = memoryStore();
    const surroundings = { environment: {}, random: systemRandom, keyStore: store };
    await findKey(sources, surroundings, { create: true });
    expect(await forgetKey(sources, { keyStore: store })).toEqual({ file: "none", keyStore: "removed" });
    expect(store.secret).toBeUndefined();
    expect(await forgetKey(sources, { keyStore: store })).toEqual({ file: "none", keyStore: "none" });
    await findKey(sources, { ...surroundings, keyStore: undefined }, { create: true });
    expect(await forgetKey(sources, { keyStore: undefined })).toEqual({ file: "removed", keyStore: "none" });
    expect(await findKey(sources, surroundings, { create: false })).toBeUndefined();
  });

  test("a key store that refuses is told, and keeps nothing else from being removed", async () => {
    await using folder = await temporaryFolder();
    await writeFile(folder.file("key"), key("f"), { mode: 0o600 });
    const refusing: KeyStore = {
      ...memoryStore(),
      get: async () => key("s"),
      delete: async () => {
        throw new Fault("unavailable");
      },
    };
    const forgotten = await forgetKey({ keyStore: entry, file: folder.file("key") }, { keyStore: refusing });
    expect(forgotten).toEqual({ file: "removed", keyStore: "refused" });
  });
});
