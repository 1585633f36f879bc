import { chooseSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import { systemClock, systemRandom, writeOut } from "#lib/runtime";
import { openAgentStore } from "../agent-store.ts";
import type { AgentConfig } from "../config.ts";
import { lockData } from "../data-lock.ts";

const surroundings = async () => ({ suite: await chooseSuite(), random: systemRandom, clock: systemClock });

/** `mercury identity show`: who this node is; public values only. */
export async function showIdentity(config: AgentConfig, options: { readonly json: boolean }): Promise<void> {
  const opened = await openAgentStore(config, await surroundings(), { create: false });
  if (opened === undefined) throw new Fault("not_found", "there is no identity here; enroll first");
  await using store = opened.store;
  const keys = await store.identity.current();
  if (keys === undefined) throw new Fault("not_found", "there is no identity here; enroll first");
  const enrollment = await store.cloud.enrollment();
  const pending = await store.identity.pending();
  const { identifier, changes, last } = keys.identity;
  const facts = {
    identifier,
    change: last.hash,
    changes: changes.length,
    created: new Date(last.createdMs).toISOString(),
    expires: new Date(last.expiresMs).toISOString(),
    agent: enrollment?.agentId ?? null,
    gateway: enrollment?.gateway ?? null,
    authority: enrollment?.authority ?? null,
    rotation: pending === undefined ? "none" : "waits for Solaris",
  };
  if (options.json) writeOut(`${JSON.stringify(facts)}\n`);
  else
    writeOut(
      `${Object.entries(facts)
        .map(([name, value]) => `${name.padEnd(11)} ${value ?? "none"}`)
        .join("\n")}\n`,
    );
}

/**
 * `mercury identity rotate`: makes and stores the next keys; they are registered when the tunnel opens next. Fault `conflict`
 * while an agent runs here: a command from Solaris makes it rotate itself.
 */
export async function rotateIdentity(config: AgentConfig): Promise<void> {
  using _lock = lockData(config, "stop it first, or give it the command `rotate` in the cloud");
  const opened = await openAgentStore(config, await surroundings(), { create: false });
  if (opened === undefined) throw new Fault("not_found", "there is no identity here; enroll first");
  await using store = opened.store;
  const { identity } = await store.identity.beginRotation();
  writeOut(
    `Change ${identity.changes.length} is made: ${identity.last.hash}\nIt is registered when Mercury connects next.\n`,
  );
}
