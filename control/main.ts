/** `solaris`: the control plane. Arguments in, exit code out. */

import { readFileSync } from "node:fs";
import { Command } from "commander";
import { asFault, Fault } from "#lib/fault";
import { commandArguments, environment, exitProcess, onCrash, writeOut } from "#lib/runtime";
import packageFile from "../package.json" with { type: "json" };
import { type BrokerConfigWords, writeBrokerConfig } from "./cli/broker-config.ts";
import { makeKey } from "./cli/make-key.ts";
import { fetchOwn } from "./cli/own-origin.ts";
import { quickstart } from "./cli/quickstart.ts";
import { rotateAuthority } from "./cli/rotate-authority.ts";
import { rotateKey } from "./cli/rotate-key.ts";
import { verifyAudit } from "./cli/verify-audit.ts";
import { readConfig, variablesText } from "./config.ts";
import { serve } from "./serve.ts";

const { version } = packageFile;
const settingsHelp = `\nSettings come from the environment alone:\n${variablesText()}\n`;
const readText = (path: string) => readFileSync(path, "utf8");
const config = () => readConfig(environment(), readText);

function fail(error: unknown): never {
  const fault = asFault(error, "internal");
  const detail =
    fault.code === "internal" && error instanceof Error ? `${error.name}: ${error.message}` : fault.message;
  writeOut(`solaris: ${detail} (${fault.code})\n`, "stderr");
  return exitProcess(fault.code === "config" ? 78 : 1); // 78: EX_CONFIG of sysexits.h
}

const program = new Command("solaris")
  .description("Control plane of Mercury: enrollment, credentials, keys, desired state, messages, API.")
  .version(version)
  .addHelpText("after", settingsHelp);

program
  .command("serve", { isDefault: true })
  .description("serve until SIGTERM, then drain")
  .option("--with-gateway", "run a Nexus in the same process (single machine)")
  .option("--check-config", "check the settings and end")
  .addHelpText("after", settingsHelp)
  .action(async ({ withGateway = false, checkConfig = false }: { withGateway?: boolean; checkConfig?: boolean }) => {
    const settings = config();
    if (checkConfig) writeOut("The settings are usable.\n");
    else await serve(settings, version, withGateway);
  });

program
  .command("audit")
  .description("the audit log")
  .command("verify")
  .description(
    "check hash chain and signed checkpoints, of the database here or of an export (GET /api/v1/audit/export)",
  )
  .option("--file <path>", "an exported log; needs no database, key or network")
  .option("--authority <identifier>", "identifier of the authority that is trusted (default: the one in this database)")
  .action(async (options: { file?: string; authority?: string }) => {
    const whole = await verifyAudit(options, { config, readText });
    if (!whole) throw new Fault("invalid", "the audit log is not whole");
  });

program
  .command("authority")
  .description("the identity that signs credentials and desired states")
  .command("rotate")
  .description(
    "give the authority new keys; Solaris must run. Its identifier stays, and so does everybody's trust in it",
  )
  .action(async () => writeOut(await rotateAuthority(config())));

program
  .command("broker-config")
  .description("print the nats-server configuration that we ship and test with, for the server found here")
  .option("--nats-version <version>", "for another server than the one on the PATH")
  .option("--listen <host:port>", "where NATS' own tools connect", "127.0.0.1:4222")
  .option("--websocket <host:port>", "where Solaris and Nexus connect; off loopback it needs TLS", "127.0.0.1:4223")
  .option("--tls-cert <file>", "certificate chain of the WebSocket, PEM")
  .option("--tls-key <file>", "its private key, PEM")
  .option("--store <directory>", "folder of JetStream's files", "/var/lib/nats")
  .option("--events", "a user who may read what ingest stored", false)
  .addHelpText(
    "after",
    `\nnats-server reads its secrets from its own environment: NATS_STORE_KEY, NATS_SOLARIS_PASSWORD,
NATS_NEXUS_PASSWORD, NATS_SYSTEM_PASSWORD and, with --events, NATS_EVENTS_PASSWORD. Each must begin with a letter
(it parses the value as its own configuration; one that looks like a number is no password). Users: solaris, nexus, system, events.\n`,
  )
  .action(async (words: BrokerConfigWords) => writeOut(await writeBrokerConfig(words)));

program
  .command("keys")
  .description("API keys, from this machine")
  .command("create")
  .description("make an API key and print it; for the first key, or when all are lost")
  .requiredOption("--name <name>", "what it is for")
  .option("--scopes <list>", "scopes separated by commas", "*")
  .option("--customer <id>", "the one customer it may see")
  .action(async (options: { name: string; scopes: string; customer?: string }) => {
    writeOut(`${await makeKey(config(), options)}\n`);
  });

program
  .command("rotate-key")
  .description("put all that is stored under another key; Solaris must not run meanwhile")
  .requiredOption("--to <file>", "0600 file with the new key, made when missing")
  .action(async ({ to }: { to: string }) => {
    await rotateKey(config(), to);
    writeOut(
      `Done. From now on ${to} holds the key: name it in SOLARIS_KEY_FILE, or set SOLARIS_KEY to what is in it.\n`,
    );
  });

program
  .command("quickstart")
  .description(
    "make a key, a customer with a licence and an agent at the Solaris that runs here; prints them for a shell",
  )
  .option("--customer <name>", "name of the customer", "Acme")
  .option("--agent <name>", "name of the agent", "site-1")
  .addHelpText("after", '\neval "$(solaris quickstart)" sets KEY, AGENT and MERCURY_TOKEN.\n')
  .action(async (names: { customer: string; agent: string }) => writeOut(await quickstart(config(), names)));

program
  .command("health")
  .description("ask the Solaris of this machine whether it lives; for container health checks")
  .action(async () => {
    const answer = await fetchOwn(config(), "/healthz", { signal: AbortSignal.timeout(3_000) });
    if (!answer.ok) throw new Fault("unavailable", `answered ${answer.status}`);
  });

onCrash(fail);
try {
  await program.parseAsync([...commandArguments()], { from: "user" });
  exitProcess(0);
} catch (error) {
  fail(error);
}
