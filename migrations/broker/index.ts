import begin from "./0000_begin.sql" with { type: "text" };

/** Steps of the embedded broker's file, oldest first; a released one never changes. */
export const brokerMigrations = [{ name: "0000_begin", sql: begin }] as const;
