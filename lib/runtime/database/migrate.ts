import { hex, utf8 } from "#lib/bytes";
import { Fault } from "#lib/fault";
import type { Database, Statement } from "./database.ts";
import { splitStatements } from "./split-statements.ts";

/** One step of a schema's history. `name` like `0003_add_portals`; `sql` one or more statements ended by `;`. */
export interface MigrationStep {
  readonly name: string;
  readonly sql: string;
}

/** What a migration found and did. */
export interface Migrated {
  /** Names of the steps applied now. */
  readonly applied: readonly string[];
  /** Steps in the database after it. */
  readonly total: number;
}

const table =
  "CREATE TABLE IF NOT EXISTS migration (number INTEGER PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL)";

/**
 * Brings `database` to the last of `steps`, each step in one transaction, recorded with its hash. Several processes may call it at
 * once: the step's number is unique, so that one applies it and the others see it done. Fault `schema_newer` when the database has a
 * step that `steps` lacks, `database` when the text of a recorded step differs from the one given.
 */
export async function migrate(database: Database, steps: readonly MigrationStep[]): Promise<Migrated> {
  const hashes = await Promise.all(steps.map(({ sql }) => sha256Text(sql)));
  await database.write([{ sql: table }]);
  const applied: string[] = [];
  for (;;) {
    const done = await recorded(database, steps, hashes);
    const step = steps[done];
    const sha256 = hashes[done];
    if (step === undefined || sha256 === undefined) return { applied, total: done };
    try {
      await database.write([
        ...record(done + 1, step.name, sha256),
        ...splitStatements(step.sql).map((sql) => ({ sql })),
      ]);
      applied.push(step.name);
    } catch (error) {
      // Another process was faster with this very step: look again. Anything else stops here.
      const constraint = error instanceof Fault && error.code === "conflict" ? error.detail.constraint : undefined;
      if (constraint !== "migration.number") throw error;
    }
  }
}

function record(number: number, name: string, sha256: string): Statement[] {
  return [{ sql: "INSERT INTO migration (number, name, sha256) VALUES (?, ?, ?)", params: [number, name, sha256] }];
}

/** How many steps the database has; checks each against ours. */
async function recorded(
  database: Database,
  steps: readonly MigrationStep[],
  hashes: readonly string[],
): Promise<number> {
  const rows = await database.read<{ number: number; name: string; sha256: string }>(
    "SELECT number, name, sha256 FROM migration ORDER BY number",
  );
  rows.forEach((row, index) => {
    const detail = { step: row.name };
    if (index >= steps.length) throw new Fault("schema_newer", undefined, { detail });
    if (row.number !== index + 1 || row.name !== steps[index]?.name || row.sha256 !== hashes[index])
      throw new Fault("database", "a migration in the database is not the one of this program", { detail });
  });
  return rows.length;
}

async function sha256Text(text: string): Promise<string> {
  return hex(new Uint8Array(await crypto.subtle.digest("SHA-256", utf8(text))));
}
