import initial from "./0000_initial.sql" with { type: "text" };

/**
 * Steps of Solaris' schema, oldest first. Until the first release there is one, which `bun run migrate` writes anew from all
 * `control/<slice>/tables.ts` (a test compares them); a released one never changes, and the next is added beside it.
 */
export const solarisMigrations = [{ name: "0000_initial", sql: initial }] as const;
