/** Mercury: argv in, exit code out. */
import { commandArguments, environment, exitProcess, hostFacts } from "#lib/runtime";
import { runProgram } from "./cli/program.ts";
import { readConfig } from "./config.ts";

const place = { platform: hostFacts().platform, isRoot: process.getuid?.() === 0 };
exitProcess(await runProgram(commandArguments(), (data) => readConfig(environment(), place, data)));
