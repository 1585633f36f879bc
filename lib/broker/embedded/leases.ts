import type { Clock } from "#lib/clock";
import { Fault } from "#lib/fault";
import type { Lease } from "../broker.ts";
import type { EmbeddedStore } from "./embedded-store.ts";

const take = `INSERT INTO lease (name, holder, number, until) VALUES (?, ?, 1, ?)
  ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, number = number + 1, until = excluded.until
  WHERE lease.until <= ? RETURNING number`;

/** A lease as one row whose number counts up with every holding. */
export async function acquireLease(
  store: EmbeddedStore,
  clock: Clock,
  name: string,
  holder: string,
  termMs: number,
): Promise<Lease | undefined> {
  const now = clock.now();
  const [taken] = await store.write([{ sql: take, params: [name, holder, now + termMs, now] }]);
  const number = taken?.rows[0]?.number;
  if (typeof number !== "number") return undefined;
  const until = (time: number) => ({
    sql: "UPDATE lease SET until = ? WHERE name = ? AND number = ? AND until >= ?",
    params: [time, name, number, clock.now()],
    expect: 1,
  });
  return {
    name,
    number,
    async renew() {
      try {
        await store.write([until(clock.now() + termMs)]);
        return true;
      } catch (error) {
        if (error instanceof Fault && error.code === "conflict") return false;
        throw error;
      }
    },
    async release() {
      await store.write([{ sql: "UPDATE lease SET until = 0 WHERE name = ? AND number = ?", params: [name, number] }]);
    },
  };
}
