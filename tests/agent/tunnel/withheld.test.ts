import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { utf8 } from "#lib/bytes";
import { Fault } from "#lib/fault";
import { clockLeewayMs } from "#lib/limits";
import { systemClock } from "#lib/runtime";
import { eventually } from "#support/eventually";
import type { Tunnel } from "../../../agent/tunnel/tunnel.ts";
import { AgentWorld } from "./agent-world.ts";

let w: AgentWorld;
beforeEach(async () => {
  w = await AgentWorld.create();
});
afterEach(() => w[Symbol.asyncDispose]());

/** Solaris has desired state 5; nobody shows it to the node. Its credential counts for `leftMs` more. */
async function withheld(leftMs: number, desired: () => Promise<number> = async () => 5) {
  const { store, agent } = await w.enrolled("agent-1", leftMs - clockLeewayMs);
  agent.desired = 5;
  const lane = await store.lanes.lane("erp");
  w.lanes = [lane];
  return { ...(await w.tunnel(store, { desired })), agent, lane };
}

const isOnline = (tunnel: Tunnel) => tunnel.status.state === "online";
const show = () => w.broker.put({ kind: "desired", agent: "agent-1" }, utf8("desired state 5"));

describe("a desired state that Nexus or broker withhold (PROTOCOL §3)", () => {
  test("an open session lives on for the rest of the credential in use and no longer, however often it is renewed", async () => {
    const { tunnel, agent, trust } = await withheld(4_000);
    await eventually("online", () => isOnline(tunnel), { everyMs: 5 });
    await eventually("renewed at the far end", () => (w.solaris.calls.get("refresh") ?? 0) > 0);
    await eventually("ended", () => !isOnline(tunnel));
    expect(tunnel.status.code).toBe("credential_expired");
    expect(trust.credential.jws).toBe(agent.credential);
    await show();
    await eventually("online again", () => isOnline(tunnel), { everyMs: 5 });
    expect(trust.credential.jws).not.toBe(agent.credential);
  }, 40_000);

  test("coming again with a credential that has run out brings no data, and does not ask for credentials without end", async () => {
    const { tunnel, lane } = await withheld(-7_200_000);
    await w.push("erp", "for a node that is up to date");
    await eventually("asked", () => (w.solaris.calls.get("refresh") ?? 0) > 0);
    const from = systemClock.monotonic();
    await eventually("three seconds", () => systemClock.monotonic() - from > 3_000);
    expect(isOnline(tunnel)).toBe(false);
    expect(lane.inbox.held().messages).toBe(0);
    expect(w.solaris.calls.get("refresh")).toBeLessThan(3);
    await show();
    await eventually("online", () => isOnline(tunnel), { everyMs: 5 });
    await eventually("stored", () => lane.inbox.held().messages === 1);
  }, 40_000);

  test("one that is shown and does not fit this version is not withheld: the node goes on with what it has", async () => {
    const { tunnel } = await withheld(-7_200_000, () => {
      throw new Fault("invalid", "a plugin of tomorrow", { detail: { number: 5 } });
    });
    await show();
    await eventually("online", () => isOnline(tunnel), { everyMs: 5 });
    expect(w.warnings.join()).toContain("a plugin of tomorrow");
  }, 40_000);
});
