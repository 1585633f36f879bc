import { Command, CommanderError } from "commander";
import { Fault } from "#lib/fault";
import { writeOut } from "#lib/runtime";
import { type AgentConfig, variables } from "../config.ts";
import { agentVersion } from "../version.ts";

/** Exit codes: done; failed; called wrongly; failed in a way that passes by itself (EX_TEMPFAIL of sysexits.h). */
export const exitCodes = { done: 0, failed: 1, usage: 2, passing: 75 } as const;

export type ReadAgentConfig = (dataDirectory: string | undefined) => AgentConfig;

const collect = (value: string, before: readonly string[] = []) => [...before, ...value.split(",").filter(Boolean)];

/** Runs one command line; answers the exit code. Whatever fails is one line on standard error, with its code. */
export async function runProgram(words: readonly string[], readConfig: ReadAgentConfig): Promise<number> {
  const program = build(readConfig);
  try {
    await program.parseAsync([...words], { from: "user" });
    return exitCodes.done;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.usage;
    if (!(error instanceof Fault)) throw error;
    writeOut(`mercury: ${error.message} (${error.code})\n`, "stderr");
    if (error.code === "config" || error.code === "bad_request") return exitCodes.usage;
    return error.entry.scope === "passing" ? exitCodes.passing : exitCodes.failed;
  }
}

/** Each command's file is loaded when it is called: `mercury run` starts without the others. */
function build(readConfig: ReadAgentConfig): Command {
  const program = new Command("mercury")
    .description("Connects this site to its cloud: one outbound tunnel, one identity, nothing to open in the firewall.")
    .version(agentVersion)
    .option("--data <directory>", "data directory")
    .exitOverride()
    .showHelpAfterError("(mercury --help shows all commands)")
    .addHelpText("after", helpText());
  const config = () => readConfig(program.opts<{ data?: string }>().data);

  program
    .command("enroll")
    .description("make an identity and redeem a token for it")
    .argument("[token]", "the token (better: --token-file, MERCURY_TOKEN, or standard input)")
    .option("--token-file <file>", "file that holds the token; - is standard input")
    .option("--allow <host:port>", "what plugins may reach; repeatable", collect)
    .option("--allow-dir <directory>", "where file plugins may read and write; repeatable", collect)
    .action(async (token: string | undefined, given: { tokenFile?: string; allow?: string[]; allowDir?: string[] }) => {
      const { enrollCommand } = await import("./enroll-command.ts");
      const { tokenFile: file, allow = [], allowDir: allowDirectories = [] } = given;
      const options = { argument: token, file, allow, allowDirectories };
      await enrollCommand(config(), options);
    });
  program
    .command("run")
    .description("hold the tunnel and run the plugins; enrolls first when a token is given and there is no identity")
    .option("--allow <host:port>", "adds to the site's own list; repeatable", collect)
    .option("--allow-dir <directory>", "adds to the site's own list; repeatable", collect)
    .action(async ({ allow = [], allowDir = [] }: { allow?: string[]; allowDir?: string[] }) => {
      const { runCommand } = await import("./run-command.ts");
      await runCommand(config(), { hosts: allow, directories: allowDir });
    });
  program
    .command("status")
    .description("what the running agent says of itself")
    .option("--json", "as one line of JSON, for programs")
    .action(async ({ json = false }: { json?: boolean }) => {
      const { statusCommand } = await import("./status-command.ts");
      await statusCommand(config(), { json });
    });
  program
    .command("connect")
    .description("a portal for this terminal, of those that lead from this node; until Ctrl-C")
    .argument(
      "<node/outlet>",
      "agent and name of the portal (mercury status lists them); the name alone: any of its agents",
    )
    .option("--listen <address>", "port, or address and port; default: a free port of 127.0.0.1")
    .action(async (to: string, { listen }: { listen?: string }) => {
      const { connectCommand } = await import("./connect-command.ts");
      await connectCommand(config(), { to, listen });
    });
  program
    .command("doctor")
    .description("take the way of the tunnel hop by hop and name the one that fails; works before enrolling")
    .option("--gateway <address>", "test the way to this gateway")
    .option("--json", "as one line of JSON, for programs")
    .action(async ({ json = false, gateway }: { json?: boolean; gateway?: string }) => {
      const { doctorCommand } = await import("./doctor-command.ts");
      await doctorCommand(config(), { json, gateway });
    });
  program
    .command("allow")
    .description("show the site's own list, or add to it: what plugins may reach, whatever the cloud asks for")
    .argument("[host:port...]", "hosts and ports")
    .option("--dir <directory>", "a directory; repeatable", collect)
    .action(async (hosts: string[], { dir = [] }: { dir?: string[] }) => {
      const { allowCommand } = await import("./allow-command.ts");
      await allowCommand(config(), hosts, dir);
    });
  const identity = program.command("identity").description("this node's identity");
  identity
    .command("show")
    .description("identifier, keys' age, agent, cloud")
    .option("--json", "as one line of JSON, for programs")
    .action(async ({ json = false }: { json?: boolean }) => {
      const { showIdentity } = await import("./identity-command.ts");
      await showIdentity(config(), { json });
    });
  identity
    .command("rotate")
    .description("make the next keys; they are registered when the tunnel opens next")
    .action(async () => {
      const { rotateIdentity } = await import("./identity-command.ts");
      await rotateIdentity(config());
    });
  program
    .command("leave")
    .description("forget the identity and everything held here")
    .option("--yes", "do it: what waits here is lost")
    .action(async ({ yes = false }: { yes?: boolean }) => {
      const { leaveCommand } = await import("./leave-command.ts");
      await leaveCommand(config(), { yes });
    });
  return program;
}

function helpText(): string {
  const width = Math.max(...variables.map(({ name }) => name.length));
  const rows = variables.map(({ name, text }) => `  ${name.padEnd(width)}  ${text}`);
  return `
Environment:
${rows.join("\n")}

Examples:
  mercury enroll --token-file token.txt --allow erp.internal:8000 --allow-dir /srv/exchange
  mercury run
  MERCURY_TOKEN=… mercury run --allow erp.internal:8000      (in a container)
  mercury doctor
  mercury connect agt_backend/db --listen 15432

Exit codes: 0 done, 1 failed, 2 called wrongly, 75 failed in a way that may pass by itself.`;
}
