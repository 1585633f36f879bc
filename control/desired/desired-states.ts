import type { Broker } from "#lib/broker";
import { decodeJson, encodeJson, equalBytes, type JsonValue, utf8 } from "#lib/bytes";
import type { Clock, Random } from "#lib/clock";
import type { CryptoSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import type { Log } from "#lib/log";
import type { Statement } from "#lib/runtime";
import {
  type DesiredPolicy,
  type DesiredPortal,
  type DesiredState,
  desiredStateSchema,
  type PluginSeal,
} from "#lib/session";
import { numericDate, type Signer, seal, signDesired } from "#lib/statement";
import { type Db, isDuplicate, type Query, type Seals } from "../db/index.ts";
import {
  insertState,
  markPublished,
  newestNumber,
  newestState,
  type PluginVersionRow,
  recipientOfAgent,
  wantedVersions,
} from "./repo.ts";
import type { PluginConfig } from "./rules.ts";
import { desiredStates, pluginVersions, type SealSettings } from "./tables.ts";

const triesMax = 20;

export interface DesiredStateDeps {
  readonly db: Db;
  readonly seals: Seals;
  readonly suite: CryptoSuite;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** The authority's. */
  readonly signer: Signer;
  readonly broker: Pick<Broker, "get" | "put">;
  /** What a node is told of a sealed plugin. */
  readonly sealOf: (agentId: string, settings: SealSettings) => Promise<PluginSeal>;
  /** The ends of portals that an agent runs. */
  readonly portalsOf: (agentId: string) => Promise<DesiredPortal[]>;
  /** The policies of those that it serves. */
  readonly policiesOf: (agentId: string) => Promise<DesiredPolicy[]>;
}

/** A configuration that is about to be written, or (`undefined`) to go. */
export interface ComingVersion {
  readonly row: PluginVersionRow;
  readonly config: PluginConfig | undefined;
}

/** A change of what an agent runs, made anew for every try to write it. */
export interface DesiredChange {
  readonly coming?: ComingVersion;
  /** Writes the change; the statement that holds the new state is appended. */
  write(set: readonly (Statement | Query)[], number: number): Promise<unknown>;
}

/** All that an agent should run, as one numbered statement, signed and sealed to it (PROTOCOL §9). */
export interface DesiredStates {
  /** Writes a change and the state that follows, then publishes it. Resolves with its number. */
  change(agentId: string, make: () => Promise<DesiredChange>): Promise<number>;
  /** Seals the state anew: for an identity that was enrolled or rotated. Resolves with its number. */
  reseal(agentId: string): Promise<number>;
  /** Publishes the newest state if the broker has another one. True when it had. */
  publish(agentId: string): Promise<boolean>;
}

export function makeDesiredStates(deps: DesiredStateDeps): DesiredStates {
  const { db, clock } = deps;
  const turns = new Map<string, Promise<void>>();

  async function statePlugins(agentId: string, coming: ComingVersion | undefined): Promise<DesiredState["plugins"]> {
    const rows = (await wantedVersions(db, agentId)).filter(({ name }) => name !== coming?.row.name);
    const kept = await Promise.all(
      rows.map(async (row) => desiredPlugin(row, await openConfig(deps.seals, row), await sealFor(row))),
    );
    const added =
      coming?.config === undefined ? [] : [desiredPlugin(coming.row, coming.config, await sealFor(coming.row))];
    return [...kept, ...added].toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  const sealFor = async ({ agentId, sealing }: PluginVersionRow) =>
    sealing === null ? undefined : await deps.sealOf(agentId, sealing);

  async function makeState(agentId: string, number: number, coming: ComingVersion | undefined) {
    const plugins = await statePlugins(agentId, coming);
    const portals = await deps.portalsOf(agentId);
    const policies = await deps.policiesOf(agentId);
    const state = desiredStateSchema.parse({ plugins, portals, policies });
    const recipient = await recipientOfAgent(db, agentId);
    const now = clock.now();
    const sealed =
      recipient === undefined
        ? null
        : await seal(
            deps.suite,
            deps.random,
            recipient,
            await signDesired(deps.signer, {
              sub: recipient.identifier,
              number,
              iat: numericDate(now),
              plugins: state.plugins as JsonValue, // configurations came as JSON and fit their schemas
              portals: state.portals,
              policies: state.policies,
              limits: {},
            }),
          );
    return {
      agentId,
      number,
      kid: recipient?.kid ?? null,
      statement: sealed,
      versions: Object.fromEntries(plugins.map(({ name, version }) => [name, version])),
      createdAt: now,
      publishedAt: null,
    };
  }

  /** Changes of one agent go one behind the other here; only another replica's can still come in between. */
  function inTurn<T>(agentId: string, work: () => Promise<T>): Promise<T> {
    const turn = (turns.get(agentId) ?? Promise.resolve()).then(work);
    const over = turn.then(
      () => undefined,
      () => undefined, // whoever asked is told
    );
    turns.set(agentId, over);
    void over.then(() => {
      if (turns.get(agentId) === over) turns.delete(agentId);
    });
    return turn;
  }

  async function change(agentId: string, make: () => Promise<DesiredChange>): Promise<number> {
    for (let tries = 1; ; tries++) {
      // Read first: whatever the state is made of can't change without a higher number.
      const number = (await newestNumber(db, agentId)) + 1;
      const { coming, write } = await make();
      const state = await makeState(agentId, number, coming);
      try {
        await write([insertState(db, state)], number);
      } catch (error) {
        if (!isDuplicate(error, desiredStates.number)) throw error;
        if (tries >= triesMax) throw new Fault("unavailable", "too many changes at once", { cause: error });
        continue;
      }
      await publish(agentId).catch((error: unknown) => {
        deps.log.warn("a desired state waits to be published", { agent: agentId, number, error });
      });
      return number;
    }
  }

  async function publish(agentId: string): Promise<boolean> {
    let wrote = false;
    for (;;) {
      const state = await newestState(db, agentId);
      if (state?.statement == null) return wrote;
      const name = { kind: "desired", agent: agentId } as const;
      const bytes = utf8(state.statement);
      const there = await deps.broker.get(name);
      const same = there !== undefined && equalBytes(there.bytes, bytes);
      if (!same) {
        await deps.broker.put(name, bytes);
        wrote = true;
      }
      if (state.publishedAt === null) await db.write(markPublished(db, agentId, state.number, clock.now()));
      // Another replica may have put an older one over a newer: whoever wrote last looks again.
      if (same || (await newestNumber(db, agentId)) === state.number) return wrote;
    }
  }

  return {
    change: (agentId, make) => inTurn(agentId, () => change(agentId, make)),
    publish,
    reseal: (agentId) => inTurn(agentId, () => change(agentId, async () => ({ write: (set) => db.write(...set) }))),
  };
}

const desiredPlugin = (row: PluginVersionRow, config: PluginConfig, seal: PluginSeal | undefined) => ({
  ...(seal === undefined ? {} : { seal }),
  name: row.name,
  type: row.type,
  version: row.version,
  enabled: row.enabled,
  config,
  lane: row.lane,
});

/** Names a row of `plugin_versions` for its seal. */
const configKey = (row: Pick<PluginVersionRow, "agentId" | "name" | "version">) =>
  `${row.agentId}/${row.name}/${row.version}`;

export async function openConfig(seals: Seals, row: PluginVersionRow): Promise<PluginConfig> {
  return decodeJson(await seals.open(pluginVersions.config, configKey(row), row.config)) as PluginConfig; // was sealed by sealConfig
}

export function sealConfig(
  seals: Seals,
  row: Pick<PluginVersionRow, "agentId" | "name" | "version">,
  config: PluginConfig,
) {
  return seals.seal(pluginVersions.config, configKey(row), encodeJson(config as JsonValue)); // came as JSON
}
