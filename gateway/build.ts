/** Builds `dist/nexus-<os>-<arch>`; `bun gateway/build.ts native` builds the one for this machine. */
import { fileURLToPath } from "node:url";
import { buildProgram, commandArguments } from "#lib/runtime";

await buildProgram({
  name: "nexus",
  entry: fileURLToPath(new URL("main.ts", import.meta.url)),
  folder: fileURLToPath(new URL("../dist/", import.meta.url)),
  targets: ["linux-x64", "linux-arm64"],
  words: commandArguments(),
});
