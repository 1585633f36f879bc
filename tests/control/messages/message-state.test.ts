import { afterAll, beforeAll, expect, test } from "bun:test";
import { placesPerEntry, positionOf } from "#lib/delivery";
import { DataSide, type Replica } from "#support/data-side";
import { stateOf } from "../../../control/messages/message-state.ts";
import { messagesById } from "../../../control/messages/repo.ts";

let side: DataSide;
let replica: Replica;

beforeAll(async () => {
  side = await DataSide.make();
  replica = await side.replica();
});
afterAll(() => side[Symbol.asyncDispose]());

test("the state in SQL is the state of the rule, for every combination", async () => {
  const { db } = replica.deps;
  await db.write({ sql: "INSERT INTO lanes (id, customer_id, agent_id, plugin) VALUES (1, 'c', 'a', 'p')" });
  const site = { stored: positionOf(5, 2), applied: positionOf(5, 1) };
  await db.write({
    sql: "INSERT INTO lane_streams (lane, stream, stored, applied, at) VALUES (1, 'now', ?, ?, 0)",
    params: [site.stored, site.applied],
  });
  let entry = 0;
  for (const seq of [null, 4, 5, 6])
    for (const stream of ["now", "before"])
      for (const index of [0, 1, 2, 3])
        for (const outcome of [null, "applied", "unknown", "dead"] as const) {
          entry += 1;
          await db.write(
            {
              sql: "INSERT INTO push_entries (id, token, lane, count, created_at, held_until, stream, seq) VALUES (?, ?, 1, 4, 0, 0, ?, ?)",
              params: [entry, `${entry}`, stream, seq],
            },
            {
              sql: "INSERT INTO messages (place, id, lane, size, outcome) VALUES (?, ?, 1, 0, ?)",
              params: [entry * placesPerEntry + index, `m${entry}`, outcome],
            },
          );
          const [row] = await messagesById(db, [`m${entry}`]);
          const position = seq === null ? null : positionOf(seq, index);
          expect(row?.position).toBe(position);
          expect(row?.state).toBe(stateOf({ outcome, position }, stream === "now" ? site : undefined));
        }
}, 30_000);
