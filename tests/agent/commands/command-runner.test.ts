import { afterEach, expect, test } from "bun:test";
import { fromUtf8 } from "#lib/bytes";
import { webSuite } from "#lib/crypto";
import { createIdentity, nodeKeys, recipientOf, seal } from "#lib/identity";
import { silentLog } from "#lib/log";
import { systemClock, systemRandom } from "#lib/runtime";
import { decodeUpEntry, nodeLane } from "#lib/session";
import { nodeSigner, numericDate, signCommand } from "#lib/statement";
import { AgentStores } from "#support/agent-store";
import { CommandRunner } from "../../../agent/commands/command-runner.ts";
import { encodeUpEntry } from "../../../agent/lanes/up-entry.ts";

let stores = new AgentStores();
afterEach(async () => {
  await stores[Symbol.asyncDispose]();
  stores = new AgentStores();
});

const newKeys = async () => {
  const own = await createIdentity(webSuite, systemRandom, { now: systemClock.now() });
  return await nodeKeys(webSuite, own.secrets, own.identity);
};

/** A runner that counts reconnects, and how Solaris gives it commands. */
async function begin() {
  const store = await stores.open(await stores.path(), systemClock);
  const [solaris, keys] = [await newKeys(), await newKeys()];
  let ran = 0;
  const unused = async () => undefined;
  const runner = new CommandRunner({
    suite: webSuite,
    random: systemRandom,
    store,
    now: () => systemClock.now(),
    log: silentLog,
    handlers: {
      reconnect: async () => {
        ran += 1;
      },
      ...{ check: unused, "collect-now": unused, rotate: unused, "log-level": unused, bundle: unused, settle: unused },
    },
  });
  const give = async (id: string) => {
    const now = numericDate(systemClock.now());
    const claims = { sub: keys.identity.identifier, id, iat: now, exp: now + 60, name: "reconnect", arguments: {} };
    const jws = await signCommand(nodeSigner(solaris), claims);
    const sealed = await seal(webSuite, systemRandom, recipientOf(keys.identity), jws);
    await runner.take({ keys, authority: solaris.identity }, sealed);
  };
  return { outbox: (await store.lanes.lane(nodeLane)).outbox, give, ran: () => ran, runner };
}

test("an answer lies in the outbox as any message does: told, counted, published, deleted", async () => {
  const { outbox, give, ran } = await begin();
  let told = 0;
  outbox.onAppended(() => told++);
  await give("cmd_1");
  await give("cmd_1");
  expect(ran()).toBe(1);
  expect(told).toBe(1);
  expect(outbox.held().messages).toBe(1);
  const batch = await outbox.batch(0);
  if (batch === undefined) throw new TypeError("nothing to publish");
  const { messages } = decodeUpEntry(
    encodeUpEntry({ ...batch, plugin: nodeLane, status: undefined, messages: batch.body }),
  );
  expect(messages).toMatchObject([{ kind: "answer", about: "cmd_1" }]);
  expect(JSON.parse(fromUtf8(messages[0]?.body ?? new Uint8Array()))).toEqual({ ok: true });
  await outbox.acknowledged(batch.lastK);
  expect(outbox.held()).toMatchObject({ bytes: 0, messages: 0 });
});
