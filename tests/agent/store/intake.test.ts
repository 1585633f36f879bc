import { afterEach, expect, test } from "bun:test";
import { hex, utf8 } from "#lib/bytes";
import { Fault } from "#lib/fault";
import { systemClock, systemRandom } from "#lib/runtime";
import { decodeUpEntry, encodeEntry } from "#lib/session";
import { sealedContentType } from "#lib/statement";
import { AgentStores } from "#support/agent-store";
import { encodeUpEntry } from "../../../agent/lanes/up-entry.ts";
import { readIncoming } from "../../../agent/store/incoming.ts";
import { checkIncoming, type LaneIntake } from "../../../agent/store/intake.ts";

const stores = new AgentStores();
afterEach(() => stores[Symbol.asyncDispose]());

const now = Math.floor(systemClock.now());
const dayMs = 86_400_000;

/** Takes what is sealed, and believes that it was signed now; refuses the rest. */
const intake: LaneIntake = {
  required: true,
  async take({ contentType }) {
    if (contentType !== sealedContentType) throw new Fault("not_sealed");
    return now;
  },
};

async function incoming(seq: number, id: string, { created = "c1", at = now, contentType = sealedContentType } = {}) {
  const messages = [{ id, time: now, contentType, body: utf8(id) }];
  const origin = { agent: "a", plugin: "p", created, seq, at, now, newId: () => hex(systemRandom(16)) };
  const entry = readIncoming(encodeEntry({ v: 1, agent: "a", plugin: "p", messages }), origin);
  return checkIncoming(entry, intake, origin, async () => false);
}

test("ids of sealed messages outlive whatever time a broker tells", async () => {
  const store = await stores.open(await stores.path(), systemClock);
  const { inbox } = await store.lanes.lane("p");
  await inbox.store([await incoming(1, "genuine")]);
  // A hundred entries of a time when an id of today may long be forgotten.
  for (let seq = 2; seq <= 100; seq++)
    await inbox.store([await incoming(seq, `later-${seq}`, { at: now + 1_000 * dayMs })]);
  await inbox.store([await incoming(1, "genuine", { created: "c2", at: now + 1_001 * dayMs })]);
  const ids: (string | undefined)[] = [];
  for (let entry = await inbox.next(); entry !== undefined; entry = await inbox.next())
    ids.push(...entry.messages.map((message) => message?.id));
  expect(ids.filter((id) => id === "genuine")).toEqual(["genuine"]);
  expect(ids.at(-1)).toBeUndefined(); // the repeat is skipped
  expect(await inbox.had("genuine", now)).toBe(true);
  expect(await inbox.had("never", now)).toBe(false);
});

test("a refused message is a letter of its own, and its id is not recorded", async () => {
  const store = await stores.open(await stores.path(), systemClock);
  const { inbox, outbox } = await store.lanes.lane("p");
  await inbox.store([await incoming(1, "plain", { contentType: "text/plain" })]);
  expect(await inbox.had("plain", now)).toBe(false);
  const batch = await outbox.batch(0);
  const { generation = 1, first = 1, count = 0, body = [] } = batch ?? {};
  const { messages } = decodeUpEntry(
    encodeUpEntry({ plugin: "p", generation, first, status: undefined, count, messages: body }),
  );
  expect(messages).toMatchObject([{ kind: "dead", code: "not_sealed", about: "plain", contentType: "text/plain" }]);
});
