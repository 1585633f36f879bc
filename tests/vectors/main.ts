/** `bun run vectors`: published test vectors through our own code. argv in, exit code out. */
import { Command, Option } from "commander";
import { noiseCases, runNoiseCase } from "./noise-file.ts";
import { readJson } from "./read-file.ts";
import { tally } from "./tally.ts";
import { type SuiteName, suiteNames, type Verdict } from "./verdict.ts";
import { runWycheproofCase, wycheproofCases } from "./wycheproof-file.ts";

type FileRunner = (file: unknown, which: SuiteName) => Promise<{ value: Verdict[] } | { reason: string }>;

const noise: FileRunner = async (file, which) => {
  const cases = noiseCases(file);
  if ("reason" in cases) return cases;
  const verdicts: Verdict[] = [];
  for (const [index, vector] of cases.value.entries()) verdicts.push(await runNoiseCase(vector, index, which));
  return { value: verdicts };
};

const wycheproof: FileRunner = async (file, which) => {
  const cases = wycheproofCases(file);
  if ("reason" in cases) return cases;
  const verdicts: Verdict[] = [];
  for (const one of cases.value) verdicts.push(await runWycheproofCase(one, which));
  return { value: verdicts };
};

/** Runs every file, also after one that failed; exit code 1 unless each ran a case and none failed. */
async function runFiles(runner: FileRunner, files: readonly string[], which: SuiteName): Promise<void> {
  for (const path of files) {
    const file = await readJson(path);
    const result = "value" in file ? await runner(file.value, which) : file;
    if ("reason" in result) {
      console.error(`${path}: ${result.reason}`);
      process.exitCode = 1;
      continue;
    }
    const { lines, ok } = tally(path, result.value);
    console.log(lines.join("\n"));
    if (!ok) process.exitCode = 1;
  }
}

const program = new Command("vectors")
  .description("Runs published test vectors through lib/crypto and lib/noise.")
  .addHelpText(
    "after",
    "\nFor each file it prints how many cases were run, passed, failed and not applicable (another algorithm or size).\n" +
      "Exit code 1 when a case failed, and when a file ran no case or can't be read.",
  )
  .showHelpAfterError("(--help shows what there is)");
const suite = () =>
  new Option("--suite <name>", "what performs the cryptography; a case passes if it does on all")
    .choices(suiteNames)
    .default("both");

for (const [name, description, runner] of [
  ["noise", "JSON of cacophony or snow: { vectors: [{ protocol_name, … }] }", noise],
  ["wycheproof", "Wycheproof JSON: x25519, ed25519, aes_gcm, hkdf_sha256, hmac_sha256", wycheproof],
] as const)
  program
    .command(name)
    .description(description)
    .argument("<file...>", "vector files")
    .addOption(suite())
    .action((files: string[], options: { suite: SuiteName }) => runFiles(runner, files, options.suite));

await program.parseAsync();
