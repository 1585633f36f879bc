/** Builds `dist/mercury-<os>-<arch>`; `bun agent/build.ts native` builds the one for this machine. */
import { fileURLToPath } from "node:url";
import { buildProgram, commandArguments } from "#lib/runtime";

await buildProgram({
  name: "mercury",
  entry: fileURLToPath(new URL("main.ts", import.meta.url)),
  folder: fileURLToPath(new URL("../dist/", import.meta.url)),
  targets: ["linux-x64", "linux-arm64", "windows-x64", "darwin-arm64"],
  words: commandArguments(),
});
