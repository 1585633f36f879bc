/** `bun run demo:portal [--once] [--nats] [--http]`: a database in another network, through a portal; told and checked. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Narrator } from "../narrator.ts";
import { type PortalStage, revokeDatacenter, tellPortal } from "./story.ts";

/** With `--once` it ends within 90 s, whatever happens. */
const onceMsMax = 80_000;
/** How long the chapter that is being told may take to end, once the story must. */
const chapterMsMax = 5_000;

const words = process.argv.slice(2);
const known = ["--once", "--nats", "--http"];
if (words.includes("--help") || words.some((word) => !known.includes(word))) {
  console.log("usage: bun run demo:portal [--once] [--nats] [--http]\n");
  console.log("  --once   end after the story, with a JSON summary as last line; exit code 0 only if every check held");
  console.log("  --nats   with the nats-server on the PATH instead of the embedded broker");
  console.log("  --http   with an HTTP server as the service, also where PostgreSQL is installed");
  process.exit(words.includes("--help") ? 0 : 2);
}
const once = words.includes("--once");
const nats = words.includes("--nats");
if (nats && Bun.which("nats-server") === null) {
  console.error("there is no nats-server on the PATH (Debian: apt-get install nats-server)");
  process.exit(2);
}

const terminal = process.stdout.isTTY === true;
const narrator = new Narrator({
  colour: terminal && process.env.NO_COLOR === undefined,
  live: terminal && !once,
  print: (text) => process.stdout.write(text),
});
process.stdout.write("Mercury · Nexus · Solaris: a service in another network, through a portal.\n");

const stop = new AbortController();
const ended = new Promise<void>((resolve) => stop.signal.addEventListener("abort", () => resolve(), { once: true }));
process.once("SIGINT", () => stop.abort());
process.once("SIGTERM", () => stop.abort());
if (once) setTimeout(() => stop.abort(new RangeError(`it took more than ${onceMsMax / 1_000} s`)), onceMsMax).unref();

const directory = await mkdtemp(join(tmpdir(), "mercury-demo-"));
const cleanup = new AsyncDisposableStack();
const broker = nats ? "nats" : "embedded";
const told = tellPortal(narrator, { directory, broker, http: words.includes("--http"), cleanup, signal: stop.signal });
try {
  const stage = await Promise.race([told, ended.then(() => undefined)]);
  if (stage === undefined) {
    await Promise.race([told, Bun.sleep(chapterMsMax)]);
    stop.signal.throwIfAborted();
  } else {
    if (!once) {
      invite(stage);
      await ended;
    }
    await revokeDatacenter(narrator, stage);
  }
} catch (error) {
  narrator.check("the demo went through", false, error instanceof Error ? error.message : String(error));
} finally {
  await cleanup.disposeAsync();
  await rm(directory, { recursive: true, force: true });
}
if (once) console.log(JSON.stringify({ ok: narrator.ok, checks: narrator.checks }));
process.exit(narrator.ok ? 0 : 1);

/** What to play with while it stays up. */
function invite({ stack, service, port }: PortalStage): void {
  console.log(`
${narrator.ok ? "Every check held." : "Some checks failed: see above."} It stays up; Ctrl-C revokes the datacenter's Mercury and ends it.

  ${service.command(port)}

  API reference   ${stack.origin}/api/v1/reference
  API key         ${stack.adminKey}

  curl -H "Authorization: Bearer $KEY" ${stack.origin}/api/v1/portals
`);
}
