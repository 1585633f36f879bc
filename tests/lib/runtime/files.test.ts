import { describe, expect, test } from "bun:test";
import { chmod, mkdir, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { fromUtf8 } from "#lib/bytes";
import {
  atomicWrite,
  fileFacts,
  isWithin,
  linkFile,
  listDirectory,
  moveFile,
  readFileBytes,
  readPrivateFile,
  realPath,
  removeFile,
  watchDirectory,
} from "#lib/runtime";
import { eventually } from "../../support/eventually.ts";
import { expectFault } from "../../support/faults.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

describe("files", () => {
  test("an atomic write replaces the whole file, privately, and leaves nothing beside it", async () => {
    await using folder = await temporaryFolder();
    const path = folder.file("sub/key");
    await atomicWrite(path, "a longer first text");
    await atomicWrite(path, "second");
    expect(await readFile(path, "utf8")).toBe("second");
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    await atomicWrite(path, new Uint8Array([65]), { mode: 0o644 });
    expect((await stat(path)).mode & 0o777).toBe(0o644);
    expect(await readdir(folder.file("sub"))).toEqual(["key"]);
  });

  test("a write that fails leaves the old file and no other", async () => {
    await using folder = await temporaryFolder();
    await mkdir(folder.file("taken/inside"), { recursive: true });
    await expectFault(atomicWrite(folder.file("taken"), "x"), "unavailable");
    expect(await readdir(folder.path)).toEqual(["taken"]);
    await writeFile(folder.file("file"), "");
    await expectFault(atomicWrite(folder.file("file/below"), "x"), "conflict");
  });

  test("a secret file that others may read is refused; none is undefined", async () => {
    await using folder = await temporaryFolder();
    const path = folder.file("secret");
    expect(await readPrivateFile(path)).toBeUndefined();
    await writeFile(path, "s", { mode: 0o600 });
    expect(await readPrivateFile(path)).toBe("s");
    for (const mode of [0o640, 0o604, 0o644]) {
      await chmod(path, mode);
      await expectFault(readPrivateFile(path), "config");
    }
    await chmod(path, 0o600);
    await writeFile(path, "x".repeat(70_000));
    await expectFault(readPrivateFile(path), "config");
  });

  test("a directory is listed by name; links are what they are", async () => {
    await using folder = await temporaryFolder();
    await writeFile(folder.file("b.txt"), "bb");
    await writeFile(folder.file("a.txt"), "a");
    await mkdir(folder.file("c"));
    await symlink("/etc/passwd", folder.file("d"));
    const facts = await listDirectory(folder.path);
    expect(facts.map(({ name, kind }) => [name, kind])).toEqual([
      ["a.txt", "file"],
      ["b.txt", "file"],
      ["c", "directory"],
      ["d", "other"],
    ]);
    expect(facts[1]?.sizeBytes).toBe(2);
    expect((await listDirectory(folder.path, { entriesMax: 2 })).length).toBe(2);
    await expectFault(listDirectory(folder.file("none")), "not_found");
  });

  test("reading is bounded; moving and removing are what they say", async () => {
    await using folder = await temporaryFolder();
    await writeFile(folder.file("a"), "content");
    expect(fromUtf8(await readFileBytes(folder.file("a"), 7))).toBe("content");
    await expectFault(readFileBytes(folder.file("a"), 6), "too_large");
    await moveFile(folder.file("a"), folder.file("new/b"));
    expect(await fileFacts(folder.file("a"))).toBeUndefined();
    await linkFile(folder.file("new/b"), folder.file("c"));
    await expectFault(linkFile(folder.file("new/b"), folder.file("c")), "conflict");
    await removeFile(folder.file("c"));
    await removeFile(folder.file("c"));
    await expectFault(moveFile(folder.file("a"), folder.file("x")), "not_found");
    expect(await readFile(folder.file("new/b"), "utf8")).toBe("content");
  });

  test("a path leaves its folder by no link and no dots", async () => {
    await using folder = await temporaryFolder();
    await mkdir(folder.file("allowed"));
    await symlink("/etc", folder.file("allowed/out"));
    const allowed = await realPath(folder.file("allowed"));
    expect(isWithin(allowed, `${allowed}/x/y`)).toBe(true);
    expect(isWithin(allowed, allowed)).toBe(true);
    expect(isWithin(allowed, `${allowed}-beside/x`)).toBe(false);
    expect(isWithin(allowed, await realPath(`${allowed}/out/passwd`))).toBe(false);
    expect(isWithin(allowed, `${allowed}/..`)).toBe(false);
  });

  test("a watch tells of a new file", async () => {
    await using folder = await temporaryFolder();
    let changes = 0;
    const unwatch = watchDirectory(
      folder.path,
      () => {
        changes += 1;
      },
      () => undefined,
    );
    await writeFile(folder.file("new"), "x");
    await eventually("told", () => changes > 0);
    unwatch();
    unwatch();
    await expectFault(
      () =>
        watchDirectory(
          folder.file("none"),
          () => undefined,
          () => undefined,
        ),
      "not_found",
    );
  });
});
