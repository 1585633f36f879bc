/** Mercury: argv in, exit code out. */
import { commandArguments, environment, exitProcess, hostFacts } from "#lib/runtime";
import { runProgram } from "./cli/program.ts";
import { proxyVariables, readConfig } from "./config.ts";

const place = { platform: hostFacts().platform, isRoot: process.getuid?.() === 0 };
const surroundings = { ...environment() };
// The runtime's fetch would send plugins' calls to systems of this site through the proxy; the tunnel is given it by name.
for (const name of proxyVariables) delete process.env[name];
exitProcess(await runProgram(commandArguments(), (data) => readConfig(surroundings, place, data)));
