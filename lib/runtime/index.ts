/** The one place that names the runtime: databases, files, keys, HTTP, processes, time. Layer 3. */
export { systemClock, systemRandom } from "./clock/system-clock.ts";
export type { Database, Result, SqlParameter, SqlRow, SqlValue, Statement } from "./database/database.ts";
export { drizzleFor, toStatement } from "./database/drizzle-for.ts";
export { type Migrated, type MigrationStep, migrate } from "./database/migrate.ts";
export { type DatabaseOptions, openDatabase } from "./database/open-database.ts";
