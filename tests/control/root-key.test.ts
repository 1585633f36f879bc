import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hex } from "#lib/bytes";
import { webSuite } from "#lib/crypto";
import { silentLog } from "#lib/log";
import { systemRandom } from "#lib/runtime";
import { makeKey } from "../../control/cli/make-key.ts";
import { rotateKey } from "../../control/cli/rotate-key.ts";
import { readConfig } from "../../control/config.ts";
import { keyEncryptionKeyOf, openRootKey, rewrapRootKey } from "../../control/root-key.ts";
import { openStores } from "../../control/stores.ts";

setDefaultTimeout(30_000);

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "root-key-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const deps = () => ({ suite: webSuite, random: systemRandom, file: join(folder, "root-key.json") });
const [one, two, three] = ["1".repeat(40), "2".repeat(40), "3".repeat(40)] as const;
const keyOf = async (secret: string) => hex(await (await openRootKey(deps(), secret)).keyFor("x.db"));

describe("the root key", () => {
  test("stays the same under its secret, does not open under another, is not in its file", async () => {
    const key = await keyOf(one);
    expect(await keyOf(one)).toBe(key);
    expect(keyOf(two)).rejects.toMatchObject({ code: "database_key" });
    expect(readFileSync(deps().file, "utf8")).not.toContain(key);
  });

  test("a changed file is refused", async () => {
    await keyOf(one);
    const text = readFileSync(deps().file, "utf8");
    writeFileSync(
      deps().file,
      text.replace(/[A-Za-z0-9](?=[A-Za-z0-9_-]{5}"\])/, (digit) => (digit === "A" ? "B" : "A")),
    );
    expect(keyOf(one)).rejects.toMatchObject({ code: "database_key" });
  });

  test("killed half-way through a change of the secret it opens with either; again finishes it", async () => {
    const key = await keyOf(one);
    const killed = rewrapRootKey(deps(), { now: one, next: two }, async () => {
      throw new RangeError("killed");
    });
    await expect(killed).rejects.toThrow("killed");
    expect([await keyOf(one), await keyOf(two)]).toEqual([key, key]);
    await rewrapRootKey(deps(), { now: one, next: two }, async () => undefined);
    expect(await keyOf(two)).toBe(key);
    expect(keyOf(one)).rejects.toMatchObject({ code: "database_key" });
    expect(keyOf(three)).rejects.toMatchObject({ code: "database_key" });
  });

  test("solaris rotate-key: everything opens with the new key and nothing with the old", async () => {
    const environment = { SOLARIS_DATA: join(folder, "data"), SOLARIS_KEY: one };
    const config = readConfig(environment, () => "");
    const publicKey = async (settings: typeof config) => {
      await using stores = await openStores(settings, webSuite, silentLog);
      await stores.kms.sign("k", new Uint8Array(1)).catch(() => undefined);
      return hex((await stores.kms.ensureKey("k", "sign")).publicKey);
    };
    await makeKey(config, { name: "first", scopes: "*" });
    const before = await publicKey(config);
    const file = join(folder, "new.key");
    writeFileSync(file, two, { mode: 0o600 });
    // Killed after the KMS was done: its keys open with the new key only, the root key with both.
    const rootKey = { ...deps(), file: join(folder, "data", "root-key.json") };
    const killed = rewrapRootKey(rootKey, { now: one, next: two }, async () => {
      await using stores = await openStores(config, webSuite, silentLog);
      await stores.kms.rotateKeyEncryptionKey(await keyEncryptionKeyOf(webSuite, two));
      throw new RangeError("killed");
    });
    await expect(killed).rejects.toThrow("killed");
    await rotateKey(config, file);
    const rotated = readConfig({ ...environment, SOLARIS_KEY: readFileSync(file, "utf8").trim() }, () => "");
    expect(await publicKey(rotated)).toBe(before);
    expect(publicKey(config)).rejects.toMatchObject({ code: "database_key" });
    expect(rotateKey(rotated, file)).rejects.toMatchObject({ code: "config" });
  });
});
