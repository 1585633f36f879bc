import type { Clock } from "#lib/clock";
import { Fault } from "#lib/fault";
import type { Statement } from "#lib/runtime";
import type { Db } from "../db/index.ts";

/** One holding of a lease. */
export interface Lease {
  readonly name: string;
  /** Higher than that of every holding before. */
  readonly number: number;
  /**
   * Stands first in a set of writes: the set fails with Fault `conflict`, `expectation` 0, once another replica has
   * taken over, however late this one notices.
   */
  readonly fence: Statement;
  /** Holds it for another term. False when it was lost. */
  renew(): Promise<boolean>;
  release(): Promise<void>;
}

export interface Leases {
  /** The lease, if nobody holds it or the holder's term has passed. */
  acquire(name: string, termMs: number): Promise<Lease | undefined>;
}

/** `holder` names this replica in the row, for people. */
export function makeLeases(deps: { readonly db: Db; readonly clock: Clock }, holder: string): Leases {
  const { db, clock } = deps;
  return {
    async acquire(name, termMs) {
      const now = clock.now();
      const [result] = await db.write({
        sql: `INSERT INTO leases (name, holder, number, until) VALUES (?, ?, 1, ?)
          ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, number = number + 1, until = excluded.until
          WHERE leases.until <= ? RETURNING number`,
        params: [name, holder, now + termMs, now],
      });
      const number = result?.rows[0]?.number;
      if (typeof number !== "number") return undefined;
      return {
        name,
        number,
        fence: { sql: "SELECT 1 FROM leases WHERE name = ? AND number = ?", params: [name, number], expect: 1 },
        async renew() {
          try {
            await db.write({
              sql: "UPDATE leases SET until = ? WHERE name = ? AND number = ?",
              params: [clock.now() + termMs, name, number],
              expect: 1,
            });
            return true;
          } catch (error) {
            if (error instanceof Fault && error.code === "conflict") return false;
            throw error;
          }
        },
        async release() {
          await db.write({
            sql: "UPDATE leases SET until = 0 WHERE name = ? AND number = ?",
            params: [name, number],
          });
        },
      };
    },
  };
}
