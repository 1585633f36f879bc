/** Builds `dist/nexus-<os>-<arch>` for the hosts that containers run on. */

import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type BuildTarget, compileProgram } from "#lib/runtime";

const targets: readonly BuildTarget[] = ["linux-x64", "linux-arm64"];
const entry = fileURLToPath(new URL("main.ts", import.meta.url));
const folder = fileURLToPath(new URL("../dist/", import.meta.url));

mkdirSync(folder, { recursive: true });
for (const target of targets) await compileProgram({ entry, target, outfile: `${folder}nexus-${target}` });
