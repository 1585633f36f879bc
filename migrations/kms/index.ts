import begin from "./0000_begin.sql" with { type: "text" };

/** Steps of the local KMS, oldest first; a released one never changes. */
export const kmsMigrations = [{ name: "0000_begin", sql: begin }] as const;
