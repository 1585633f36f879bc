import begin from "./0000_begin.sql" with { type: "text" };

/** Steps of Mercury's store, oldest first; a released one never changes. */
export const mercuryMigrations = [{ name: "0000_begin", sql: begin }] as const;
