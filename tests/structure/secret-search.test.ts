import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "#support/eventually";
import { memoryIsReadable, searchMemory } from "#support/memory-search";
import { searchArguments, searchFiles } from "#support/secret-search";

setDefaultTimeout(30_000);

const secret = { name: "marker", bytes: crypto.getRandomValues(new Uint8Array(32)) };
const bytes = Buffer.from(secret.bytes);

test.each([
  ["raw", bytes],
  ["hex", Buffer.from(bytes.toString("hex"))],
  [
    "base64 inside other text",
    Buffer.from(Buffer.concat([Buffer.from("x"), bytes, Buffer.from("yz")]).toString("base64")),
  ],
  ["base64url", Buffer.from(Buffer.concat([Buffer.from("ab"), bytes]).toString("base64url"))],
  ["across the edge of a chunk", Buffer.concat([Buffer.alloc((1 << 20) - 7), bytes])],
])("a secret is found: %s", async (_, content) => {
  const folder = mkdtempSync(join(tmpdir(), "search-"));
  writeFileSync(join(folder, "file"), content);
  expect((await searchFiles([folder], [secret])).map(({ name }) => name)).toEqual(["marker"]);
});

test("what is not there is not found", async () => {
  const folder = mkdtempSync(join(tmpdir(), "search-"));
  writeFileSync(join(folder, "file"), crypto.getRandomValues(new Uint8Array(4_096)));
  expect(await searchFiles([folder], [secret])).toEqual([]);
});

test("arguments of a process are searched", async () => {
  const child = Bun.spawn(["sh", "-c", "read line", bytes.toString("hex")], { stdin: "pipe" });
  try {
    // Between fork and exec its arguments are still this process'.
    expect(
      await eventually("its arguments are its own", () => searchArguments([child.pid], [secret]).length || undefined),
    ).toBe(1);
  } finally {
    child.kill();
    await child.exited;
  }
});

test.skipIf(!memoryIsReadable)("the memory of a process is searched", async () => {
  const child = Bun.spawn(
    [
      process.execPath,
      "-e",
      "globalThis.kept = await Bun.stdin.text(); console.log('has it'); setInterval(() => {}, 1_000)",
    ],
    {
      stdin: new Blob([`${"x".repeat(5_000)}${bytes.toString("hex")}`]),
      stdout: "pipe",
    },
  );
  try {
    await child.stdout.getReader().read();
    const absent = { name: "absent", bytes: crypto.getRandomValues(new Uint8Array(32)) };
    const { found, searchedBytes } = await searchMemory(child.pid, [secret, absent]);
    expect(found.map(({ name, spelling }) => ({ name, spelling }))).toEqual([{ name: "marker", spelling: "hex" }]);
    expect(searchedBytes).toBeGreaterThan(1_000_000);
  } finally {
    child.kill();
    await child.exited;
  }
});
