import { z } from "zod";
import { Fault, type FaultCode, isFaultCode } from "#lib/fault";
import type { Database } from "#lib/runtime";
import {
  type DesiredPlugin,
  type DesiredPolicy,
  type DesiredPortal,
  type DesiredState,
  desiredPluginSchema,
  desiredPolicySchema,
  desiredPortalSchema,
} from "#lib/session";

/** One configured item: what is wanted, what runs, and why they differ if they do. */
export interface ItemRecord {
  readonly name: string;
  readonly wanted: DesiredPlugin;
  /** The last good form; null = none ever ran. */
  readonly running: DesiredPlugin | null;
  readonly state: "applied" | "failed" | "disabled" | "pending";
  readonly code: FaultCode | null;
  readonly reason: string | null;
}

const stateSchema = z.enum(["applied", "failed", "disabled", "pending"]);

/** The node's items as of the newest desired state it verified, with their last good forms (PROTOCOL §9). */
export class ItemStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async all(): Promise<ItemRecord[]> {
    const rows = await this.#database.read("SELECT * FROM item ORDER BY name");
    return rows.map((row) => ({
      name: String(row.name),
      wanted: pluginOf(row.wanted),
      running: row.running === null ? null : pluginOf(row.running),
      state: stateSchema.parse(row.state),
      code: typeof row.code === "string" && isFaultCode(row.code) ? row.code : null,
      reason: typeof row.reason === "string" ? row.reason : null,
    }));
  }

  /**
   * The newest desired state, before anything of it is applied: number and wanted forms in one transaction, so that a
   * restart in the middle goes on with the newest. Last good forms stay. Items it doesn't list are gone.
   */
  async want(number: number, { plugins, portals, policies }: DesiredState): Promise<void> {
    await this.#database.write([
      { sql: "UPDATE authority SET desired = ? WHERE one = 1 AND desired <= ?", params: [number, number], expect: 1 },
      {
        sql: "DELETE FROM item WHERE name NOT IN (SELECT value FROM json_each(?))",
        params: [JSON.stringify(plugins.map(({ name }) => name))],
      },
      ...plugins.map((plugin) => ({
        sql: `INSERT INTO item (name, wanted_version, wanted, state) VALUES (?, ?, ?, 'pending')
              ON CONFLICT (name) DO UPDATE SET wanted_version = excluded.wanted_version, wanted = excluded.wanted,
                state = 'pending', code = NULL, reason = NULL
              WHERE item.wanted <> excluded.wanted OR item.state = 'failed'`,
        params: [plugin.name, plugin.version, JSON.stringify(plugin)],
      })),
      { sql: "DELETE FROM portal", params: [] },
      ...portals.map((portal) => ({
        sql: "INSERT INTO portal (name, wanted) VALUES (?, ?)",
        params: [portal.name, JSON.stringify(portal)],
      })),
      { sql: "DELETE FROM policy", params: [] },
      ...policies.map((policy) => ({
        sql: "INSERT INTO policy (id, wanted) VALUES (?, ?)",
        params: [policy.id, JSON.stringify(policy)],
      })),
    ]);
  }

  /** Ends of portals as of the newest desired state. */
  async portals(): Promise<DesiredPortal[]> {
    const rows = await this.#database.read("SELECT wanted FROM portal ORDER BY name");
    return rows.map(({ wanted }) => parsed(desiredPortalSchema, wanted));
  }

  /** Policies as of the newest desired state. */
  async policies(): Promise<DesiredPolicy[]> {
    const rows = await this.#database.read("SELECT wanted FROM policy ORDER BY id");
    return rows.map(({ wanted }) => parsed(desiredPolicySchema, wanted));
  }

  /** The wanted form of an item runs (or is switched off): it is the last good one from now on. */
  async applied(plugin: DesiredPlugin): Promise<void> {
    await this.#database.write([
      {
        sql: `UPDATE item SET running_version = ?, running = ?, state = ?, code = NULL, reason = NULL
              WHERE name = ? AND wanted_version = ?`,
        params: [
          plugin.version,
          JSON.stringify(plugin),
          plugin.enabled ? "applied" : "disabled",
          plugin.name,
          plugin.version,
        ],
      },
    ]);
  }

  /** The wanted form could not be applied: why. */
  async failed(plugin: DesiredPlugin, code: FaultCode, reason: string): Promise<void> {
    await this.#database.write([
      {
        sql: "UPDATE item SET state = 'failed', code = ?, reason = ? WHERE name = ? AND wanted_version = ?",
        params: [code, reason, plugin.name, plugin.version],
      },
    ]);
  }
}

const pluginOf = (text: unknown) => parsed(desiredPluginSchema, text);

function parsed<T>(schema: z.ZodType<T>, text: unknown): T {
  try {
    return schema.parse(JSON.parse(String(text)));
  } catch (cause) {
    throw new Fault("database", "a stored item does not fit its schema", { cause });
  }
}
