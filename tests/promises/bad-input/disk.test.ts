import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../../support/eventually.ts";
import { freePort } from "../../support/free-port.ts";
import type { MercurySite } from "../../support/mercury-site.ts";
import { Stack, sourceCommands } from "../../support/stack.ts";

setDefaultTimeout(30_000);

const timeoutMs = 90_000;

/** Mercury on a data directory that is a small disk of its own; what was there before is there too. */
const onSmallDisk = [
  "unshare",
  "--map-root-user",
  "--mount",
  "sh",
  "-c",
  'cp -a "$MERCURY_DATA" "$MERCURY_DATA.before" && mount -t tmpfs -o size=8m none "$MERCURY_DATA" && cp -a "$MERCURY_DATA.before/." "$MERCURY_DATA" && exec "$@"',
  "sh",
  ...sourceCommands.mercury,
];

const possible = Bun.spawnSync(["unshare", "--map-root-user", "--mount", "true"]).exitCode === 0;
const suite = possible || process.env.TEST_SKIPS_FAIL === "1" ? describe : describe.skip;

suite("a disk that is full (needs unshare --map-root-user: user namespaces allowed by the kernel)", () => {
  test(
    "callers and the cloud are told to wait, the tunnel lives, and everything goes on once there is room",
    async () => {
      await using stack = await Stack.start();
      const { customerId } = await stack.api.createCustomer();
      const { agentId, token } = await stack.api.createAgent(customerId, { name: "full" });
      const port = freePort();
      const enrolling = stack.addSite({ name: "full", allow: [`127.0.0.1:${port}`] });
      await enrolling.enroll(token);
      const site = stack.addSite({ name: "full-disk", directory: enrolling.directory, command: onSmallDisk });
      site.start();
      await stack.online(agentId);
      const directory = site.exchange;
      await stack.api.putPlugin(agentId, "files", { type: "file", config: { down: { directory, name: "{id}.json" } } });
      await stack.api.putPlugin(agentId, "hook", { type: "webhook", config: { port, auth: { kind: "none" } } });
      for (const plugin of ["files", "hook"]) await stack.applied(agentId, plugin);
      const post = (body: string) =>
        fetch(`http://127.0.0.1:${port}/`, { method: "POST", headers: { "idempotency-key": body }, body });
      expect((await post("before")).status).toBe(202);
      expect((await stack.api.push(agentId, "files", '"before"', { waitS: 20 })).state).toBe("applied");

      const filler = fillDisk(site);
      const refused = await eventually("a caller is refused", async () => {
        const answer = await post("full");
        return answer.status !== 202 && answer;
      });
      expect(refused.status).toBe(503);
      expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
      const pushed = await stack.api.push(agentId, "files", JSON.stringify("x".repeat(200_000)));
      await site.program.until(/entries can't be stored/);
      expect((await stack.api.status(agentId)).online).toBe(true);
      expect((await stack.api.message(pushed.id)).state).toBe("queued");

      rmSync(filler);
      await eventually("a caller is taken", async () => (await post("full")).status === 202);
      await eventually("the push is applied", async () => (await stack.api.message(pushed.id)).state === "applied");
      expect((await stack.api.push(agentId, "files", '"after"', { waitS: 20 })).state).toBe("applied");
      const received = await eventually("both posts are received", async () => {
        const all = await stack.api.allReceived({ agentId, plugin: "hook" });
        return all.length >= 2 && all;
      });
      expect(received.map(({ body }) => body)).toEqual(["before", "full"]);
    },
    timeoutMs,
  );
});

/** Fills the disk as only its own process sees it; path of what fills it. */
function fillDisk({ program, data }: MercurySite): string {
  const filler = join(`/proc/${program.pid}/root`, data, "filler");
  const file = openSync(filler, "w");
  try {
    for (const size of [65_536, 4_096, 512]) {
      const block = new Uint8Array(size);
      while (writes(file, block));
    }
  } finally {
    closeSync(file);
  }
  return filler;
}

function writes(file: number, block: Uint8Array): boolean {
  try {
    return writeSync(file, block) === block.length;
  } catch {
    return false; // no space left
  }
}
