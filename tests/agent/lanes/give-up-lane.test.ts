import { afterEach, expect, test } from "bun:test";
import { fromUtf8, utf8 } from "#lib/bytes";
import { silentLog } from "#lib/log";
import { systemClock, systemRandom } from "#lib/runtime";
import { decodeUpEntry, encodeEntry } from "#lib/session";
import { AgentStores } from "#support/agent-store";
import { giveUpLane } from "../../../agent/lanes/give-up-lane.ts";
import { encodeUpEntry } from "../../../agent/lanes/up-entry.ts";
import { readIncoming } from "../../../agent/store/incoming.ts";

const stores = new AgentStores();
afterEach(() => stores[Symbol.asyncDispose]());

test("what waits for a removed plugin goes up as dead letters, once, behind what is settled", async () => {
  const path = await stores.path();
  const store = await stores.open(path, systemClock);
  const lane = await store.lanes.lane("erp");
  for (const seq of [1, 2]) {
    const messages = ["a", "b"].map((text) => ({ id: `${text}${seq}`, time: 1, body: utf8(`${text}${seq}`) }));
    const body = encodeEntry({ v: 1, agent: "a", plugin: "erp", messages });
    const origin = { agent: "a", plugin: "erp", created: "c", seq, at: 1, now: 1, newId: () => "x" };
    await lane.inbox.store([readIncoming(body, origin)]);
  }
  await lane.inbox.settle({ n: 1, index: 1, created: "c", position: 1_024, at: 1 });
  expect(await giveUpLane(lane, systemClock, systemRandom, silentLog)).toBe(3);
  expect(await giveUpLane(lane, systemClock, systemRandom, silentLog)).toBe(0);
  expect(lane.inbox.held()).toMatchObject({ bytes: 0, messages: 0 });
  await store[Symbol.asyncDispose]();
  const again = await (await stores.open(path, systemClock)).lanes.lane("erp");
  const batch = await again.outbox.batch(0);
  if (batch === undefined) throw new RangeError("nothing waits");
  const entry = decodeUpEntry(encodeUpEntry({ ...batch, plugin: "erp", status: undefined, messages: batch.body }));
  expect(entry.messages.map(({ kind, about, code, body }) => [kind, about, code, fromUtf8(body)])).toEqual(
    ["b1", "a2", "b2"].map((id) => ["dead", id, "unknown_plugin", id]),
  );
});
