import { Fault } from "#lib/fault";
import { lanesPerAgentMax } from "#lib/limits";
import { actorOf, type Principal } from "../access/principal.ts";
import { type AgentRow, findAgent } from "../agents/index.ts";
import type { SliceDeps } from "../api/index.ts";
import type { AuditEvent } from "../audit/index.ts";
import type { Lanes } from "../lanes/index.ts";
import { checkReceiveSchema } from "../messages/ingest/receive-schema.ts";
import {
  type ComingVersion,
  type DesiredChange,
  type DesiredStates,
  openConfig,
  sealConfig,
} from "./desired-states.ts";
import { insertVersion, type PluginRow, pluginRow, pluginsOf, putPlugin, versionRow } from "./repo.ts";
import { checkOffered, completeConfig, type PluginConfig, shownConfig, type WantedPlugin } from "./rules.ts";
import { checkSealing, sealSettings } from "./sealing.ts";
import type { SealSettings } from "./tables.ts";

export interface DesiredDeps extends Pick<SliceDeps, "db" | "seals" | "audit" | "clock" | "log"> {
  readonly states: DesiredStates;
  readonly lanes: Lanes;
  /** Whether connector types for tests and benchmarks may be configured. */
  readonly testConnectors: boolean;
}

/** A plugin, if this key may see it. Fault `not_found`; with `deleted` one that is not wanted any more counts too. */
export async function findPlugin(
  deps: Pick<DesiredDeps, "db">,
  by: Principal,
  agentId: string,
  name: string,
  { deleted = false }: { readonly deleted?: boolean } = {},
): Promise<PluginRow> {
  await findAgent(deps, by, agentId);
  const row = await pluginRow(deps.db, agentId, name);
  if (row === undefined || (row.deletedAt !== null && !deleted)) throw new Fault("not_found");
  return row;
}

/**
 * Sets what a plugin of an agent should be; `version` is the one that is replaced (If-Match; 0 = none). Faults: `not_found`,
 * `revoked`, `invalid` with the path of each field, `conflict`.
 */
export async function putWanted(
  deps: DesiredDeps,
  by: Principal,
  at: { readonly agentId: string; readonly name: string; readonly version?: number | undefined },
  wanted: WantedPlugin,
): Promise<PluginRow> {
  const { receiveSchema = null } = wanted;
  if (receiveSchema !== null) checkReceiveSchema(receiveSchema);
  const sealing = sealSettings(wanted);
  await checkSealing(deps.db, (await findAgent(deps, by, at.agentId)).customerId, sealing);
  return writeVersion(deps, by, at, async (former) => {
    const stored = former?.type === wanted.type ? await storedConfig(deps, former) : undefined;
    checkOffered(wanted.type, deps.testConnectors);
    const config = completeConfig(wanted.type, wanted.config, stored);
    const { type, enabled, lane } = wanted;
    return { type, enabled, lane, receiveSchema, sealing, config, restores: null, action: "plugin.configured" };
  });
}

/** Brings an earlier configuration back, under a higher number. Faults: `not_found`, `invalid` when it was a deletion, `conflict`. */
export function rollBack(
  deps: DesiredDeps,
  by: Principal,
  at: { readonly agentId: string; readonly name: string; readonly version?: number | undefined },
  restores: number,
): Promise<PluginRow> {
  return writeVersion(deps, by, at, async () => {
    const row = await versionRow(deps.db, at.agentId, at.name, restores);
    if (row === undefined) throw new Fault("not_found");
    if (row.deleted)
      throw new Fault("invalid", undefined, { detail: { version: "the plugin was deleted in this version" } });
    // Checked again: the type's schema may be stricter than it was.
    const config = completeConfig(row.type, await openConfig(deps.seals, row), undefined);
    const { type, enabled, lane, receiveSchema = null, sealing = null } = row;
    await checkSealing(deps.db, (await findAgent(deps, by, at.agentId)).customerId, sealing);
    return { type, enabled, lane, receiveSchema, sealing, config, restores, action: "plugin.rolled-back" };
  });
}

/** Ends a plugin: the node stops it, what waits in its lane stays. Fault `not_found`. */
export async function deletePlugin(
  deps: DesiredDeps,
  by: Principal,
  at: { readonly agentId: string; readonly name: string; readonly version?: number | undefined },
): Promise<void> {
  await findPlugin(deps, by, at.agentId, at.name);
  await writeVersion(deps, by, at, async (former) => {
    if (former === undefined || former.deletedAt !== null) throw new Fault("not_found");
    const { type, enabled, lane, receiveSchema = null, sealing = null } = former;
    return { type, enabled, lane, receiveSchema, sealing, config: undefined, restores: null, action: "plugin.deleted" };
  });
}

interface NewVersion {
  readonly type: string;
  readonly enabled: boolean;
  readonly lane: PluginRow["lane"];
  readonly receiveSchema: unknown;
  readonly sealing: SealSettings | null;
  /** Undefined: the plugin goes. */
  readonly config: PluginConfig | undefined;
  readonly restores: number | null;
  readonly action: string;
}

async function storedConfig(deps: DesiredDeps, former: PluginRow): Promise<PluginConfig | undefined> {
  const row = await versionRow(deps.db, former.agentId, former.name, former.version);
  return row === undefined || row.deleted ? undefined : openConfig(deps.seals, row);
}

async function writeVersion(
  deps: DesiredDeps,
  by: Principal,
  at: { readonly agentId: string; readonly name: string; readonly version?: number | undefined },
  decide: (former: PluginRow | undefined) => Promise<NewVersion>,
): Promise<PluginRow> {
  const { agentId, name } = at;
  const agent = await findAgent(deps, by, agentId);
  if (agent.revokedAt !== null) throw new Fault("revoked");
  await deps.lanes.of({ customerId: agent.customerId, agentId, plugin: name });
  let written: PluginRow | undefined;
  await deps.states.change(agentId, async (): Promise<DesiredChange> => {
    const former = await pluginRow(deps.db, agentId, name);
    const standing = former === undefined || former.deletedAt !== null ? 0 : former.version;
    if (at.version !== undefined && at.version !== standing)
      throw new Fault("conflict", "changed by someone else in between: read it again");
    const next = await decide(former);
    if (standing === 0) await checkRoom(deps, agentId);
    const { coming, row } = await makeVersion(deps, by, agent, name, (former?.version ?? 0) + 1, next);
    written = row;
    return {
      coming,
      write: (set, number) =>
        deps.audit.record(
          eventOf(by, agent, next.action, {
            plugin: name,
            type: next.type,
            version: row.version,
            number,
            sealed: next.sealing !== null,
          }),
          ...set, // first: whoever lost a race learns it from the number, and begins again
          insertVersion(deps.db, coming.row),
          putPlugin(deps.db, row),
        ),
    };
  });
  if (written === undefined) throw new Fault("internal");
  return written;
}

async function checkRoom(deps: DesiredDeps, agentId: string): Promise<void> {
  if ((await pluginsOf(deps.db, agentId)).length < lanesPerAgentMax) return;
  throw new Fault("conflict", `an agent has at most ${lanesPerAgentMax} plugins`);
}

async function makeVersion(
  deps: DesiredDeps,
  by: Principal,
  agent: AgentRow,
  name: string,
  version: number,
  { config, restores, action: _action, ...next }: NewVersion,
): Promise<{ coming: ComingVersion; row: PluginRow }> {
  const now = deps.clock.now();
  const key = { agentId: agent.id, name, version };
  const shown = config === undefined ? {} : shownConfig(next.type, config);
  const deleted = config === undefined;
  const created = { createdAt: now, createdBy: actorOf(by) };
  const row = { ...key, ...next, shown, config: await sealConfig(deps.seals, key, config ?? {}) };
  return {
    coming: { row: { ...row, restores, deleted, ...created }, config },
    row: {
      ...key,
      ...next,
      shown,
      customerId: agent.customerId,
      updatedAt: now,
      updatedBy: actorOf(by),
      deletedAt: deleted ? now : null,
    },
  };
}

function eventOf(
  by: Principal,
  agent: AgentRow,
  action: string,
  detail: NonNullable<AuditEvent["detail"]>,
): AuditEvent {
  return { actor: actorOf(by), action, subject: agent.id, customerId: agent.customerId, detail };
}
