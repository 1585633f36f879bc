/** `nexus`: the public endpoint of the tunnels. Arguments in, exit code out. */

import { readFileSync } from "node:fs";
import { Command } from "commander";
import { asFault, Fault } from "#lib/fault";
import { commandArguments, environment, exitProcess, hostFacts, onCrash, writeOut } from "#lib/runtime";
import packageFile from "../package.json" with { type: "json" };
import { readConfig, variablesText } from "./config.ts";
import { serve } from "./serve.ts";

const { version } = packageFile;

function config() {
  return readConfig(environment(), (path) => readFileSync(path, "utf8"), hostFacts().hostname);
}

function fail(error: unknown): never {
  const { code, message } = asFault(error, "internal");
  writeOut(`nexus: ${message} (${code})\n`, "stderr");
  return exitProcess(code === "config" ? 78 : 1); // 78: EX_CONFIG of sysexits.h
}

const program = new Command("nexus")
  .description("Public endpoint of Mercury tunnels: ends them, and bridges them to the broker.")
  .version(version)
  .addHelpText("after", `\nSettings come from the environment alone:\n${variablesText()}\n`);

program
  .command("serve", { isDefault: true })
  .description("serve tunnels until SIGTERM, then drain")
  .option("--check-config", "check the settings and end")
  .addHelpText("after", `\nSettings come from the environment alone:\n${variablesText()}\n`)
  .action(async ({ checkConfig }: { checkConfig?: boolean }) => {
    const settings = config();
    if (checkConfig === true) writeOut("The settings are usable.\n");
    else await serve(settings, version);
  });

program
  .command("health")
  .description("ask the Nexus of this machine whether it lives; for container health checks")
  .action(async () => {
    const { listen, managementListen, tls } = config();
    const { host, port } = managementListen ?? listen;
    const own = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "[::1]" : host.includes(":") ? `[${host}]` : host;
    const scheme = tls !== undefined && managementListen === undefined ? "https" : "http";
    // The certificate names the public host, not this machine: only life is asked for, nothing is believed.
    const tlsOptions = { tls: { rejectUnauthorized: false } };
    const answer = await fetch(`${scheme}://${own}:${port}/healthz`, {
      ...tlsOptions,
      signal: AbortSignal.timeout(3_000),
    });
    if (!answer.ok) throw new Fault("unavailable", `answered ${answer.status}`);
  });

onCrash(fail);
try {
  await program.parseAsync([...commandArguments()], { from: "user" });
  exitProcess(0);
} catch (error) {
  fail(error);
}
