/** `bun run demo [--once] [--nats]`: the whole system on this machine, told and checked. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Narrator } from "./narrator.ts";
import { revoke, type Stage, tell } from "./story.ts";

const words = process.argv.slice(2);
const known = ["--once", "--nats"];
if (words.includes("--help") || words.some((word) => !known.includes(word))) {
  console.log("usage: bun run demo [--once] [--nats]\n");
  console.log("  --once   end after the story, with a JSON summary as last line; exit code 0 only if every check held");
  console.log("  --nats   with the nats-server on the PATH instead of the embedded broker");
  process.exit(words.includes("--help") ? 0 : 2);
}
const once = words.includes("--once");
const nats = words.includes("--nats");
if (nats && Bun.which("nats-server") === null) {
  console.error("there is no nats-server on the PATH (Debian: apt-get install nats-server)");
  process.exit(2);
}

const live = process.stdout.isTTY === true && !once;
const narrator = new Narrator({
  colour: process.stdout.isTTY === true && process.env.NO_COLOR === undefined,
  live,
  print: (text) => process.stdout.write(text),
});
process.stdout.write("Mercury · Nexus · Solaris: a site's ERP, reached from the cloud through one outbound tunnel.\n");

const directory = await mkdtemp(join(tmpdir(), "mercury-demo-"));
const ended = new Promise<void>((resolve) => {
  process.once("SIGINT", () => resolve());
  process.once("SIGTERM", () => resolve());
});
let stage: Stage | undefined;
try {
  stage = await Promise.race([
    tell(narrator, { directory, broker: nats ? "nats" : "embedded" }),
    ended.then(() => undefined),
  ]);
  if (stage !== undefined && once) await revoke(narrator, stage);
  if (stage !== undefined && !once) {
    invite(stage);
    await ended;
    await revoke(narrator, stage);
  }
} catch (error) {
  narrator.check("the demo went through", false, error instanceof Error ? error.message : String(error));
} finally {
  await stage?.[Symbol.asyncDispose]();
  await rm(directory, { recursive: true, force: true });
}
if (once) console.log(JSON.stringify({ ok: narrator.ok, checks: narrator.checks }));
process.exit(narrator.ok ? 0 : 1);

/** What to play with while it stays up. */
function invite({ stack, erp, agent, erpPassword }: Stage): void {
  const { origin, adminKey } = stack;
  console.log(`
${narrator.ok ? "Every check held." : "Some checks failed: see above."} It stays up; Ctrl-C revokes the agent and ends it.

  API reference   ${origin}/api/v1/reference
  API key         ${adminKey}
  gateway         ${stack.nexuses[0]?.origin ?? stack.gatewayOrigin}
  the ERP         ${erp.url}   connector / ${erpPassword}
  agent           ${agent.id}

  curl -H "Authorization: Bearer $KEY" ${origin}/api/v1/agents
  curl -H "Authorization: Bearer $KEY" -H "Idempotency-Key: my-first" -H "Content-Type: application/json" \\
       -d '{"number":"SO-MINE","sku":"SKU-1","quantity":1}' ${origin}/api/v1/agents/${agent.id}/plugins/erp/messages
`);
}
