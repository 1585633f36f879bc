import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { webSuite } from "#lib/crypto";
import { openDatabase } from "#lib/runtime";
import {
  type ExportLine,
  exportLineSchema,
  makeAuditLog,
  verifyLog,
  writeCheckpoint,
  writeSummaries,
} from "../../../control/audit/index.ts";
import { digestOf } from "../../../control/audit/summaries.ts";
import { makeDb } from "../../../control/db/index.ts";
import { ControlWorld } from "../../support/control-world.ts";

let world: ControlWorld;
beforeAll(async () => {
  world = await ControlWorld.start();
});
afterAll(() => world[Symbol.asyncDispose]());

async function exported(): Promise<ExportLine[]> {
  const { json } = await world.api("GET", "/audit/export");
  return String(json)
    .trim()
    .split("\n")
    .map((line) => exportLineSchema.parse(JSON.parse(line)));
}

async function verify(lines: readonly ExportLine[]) {
  async function* all() {
    yield* lines;
  }
  return verifyLog(webSuite, all(), { authority: world.solaris.authority, now: world.clock.now() });
}

const checkpoint = async () => {
  const { json } = await world.api("GET", "/authority");
  const { kms } = world;
  const kid = json.changes[0].hash;
  const signer = { kid, sign: (bytes: Uint8Array) => kms.sign("authority/1/sign", bytes) };
  await writeCheckpoint({ db: world.solaris.slices.db, clock: world.clock, signer });
};

describe("the audit log", () => {
  test("every act of the API has its entry, with who did it", async () => {
    const { id } = await world.customer("Audited");
    const agent = await world.agent(id);
    await world.api("POST", `/agents/${agent.id}/revoke`, { reason: "test" });
    const { json } = await world.api("GET", `/audit?subject=${agent.id}`);
    expect(json.items.map(({ action }: { action: string }) => action)).toEqual(["agent.revoked", "agent.created"]);
    expect(json.items[0]).toMatchObject({ customerId: id, detail: { reason: "test" } });
    expect(json.items[0].actor).toMatch(/^key:/);
  });

  test("a whole export verifies; its checkpoints are the authority's word", async () => {
    await checkpoint();
    const found = await verify(await exported());
    expect(found.problems).toEqual([]);
    expect(found.checkpoints).toBeGreaterThan(0);
    expect(found.signedThrough).toBe(found.entries);
  });

  test("any change is found: an edited entry, a missing one, swapped ones, a rewritten chain", async () => {
    await world.customer("More");
    await checkpoint();
    const lines = await exported();
    const entries = lines.flatMap((line, index) => (line.kind === "entry" ? [{ line, index }] : []));
    const [first, second] = [entries[3], entries[4]];
    if (first === undefined || second === undefined) throw new RangeError("too few entries");
    const edited = lines.with(first.index, { ...first.line, actor: "key:somebody" });
    expect((await verify(edited)).problems.length).toBeGreaterThan(0);
    expect((await verify(lines.toSpliced(first.index, 1))).problems.length).toBeGreaterThan(0);
    expect(
      (await verify(lines.with(first.index, second.line).with(second.index, first.line))).problems.length,
    ).toBeGreaterThan(0);
    // The chain computed anew after an edit is consistent in itself: only the checkpoint tells.
    const { chainEvent, emptyHead } = await import("../../../control/audit/rules.ts");
    const { entryLine } = await import("../../../control/audit/export.ts");
    let head = emptyHead;
    const rewritten: ExportLine[] = [];
    for (const { line } of entries) {
      const { time, actor, action, subject, customerId, detail } = line;
      const made = await chainEvent(
        webSuite,
        head,
        {
          actor: `x${actor}`,
          action,
          detail,
          ...(subject === null ? {} : { subject }),
          ...(customerId === null ? {} : { customerId }),
        },
        time,
      );
      rewritten.push(entryLine(made));
      head = made;
    }
    const forged = await verify([
      ...lines.filter(({ kind }) => kind === "authority"),
      ...rewritten,
      ...lines.filter(({ kind }) => kind === "checkpoint"),
    ]);
    expect(forged.problems.length).toBeGreaterThan(0);
    expect(forged.problems.every((problem) => problem.startsWith("checkpoint"))).toBe(true);
  });

  test("a log of another authority is refused", async () => {
    const lines = await exported();
    async function* all() {
      yield* lines;
    }
    const other = `I${"0".repeat(64)}`;
    expect(verifyLog(webSuite, all(), { authority: other, now: world.clock.now() })).rejects.toMatchObject({
      code: "identity_unexpected",
    });
  });

  test("two processes write one chain: many acts at once, every one recorded, no gap", async () => {
    const path = `${world.folder}/solaris.db`;
    await using second = await openDatabase({ path, encryptionKey: "a passphrase of the tests" });
    const logs = [world.solaris.slices.db, makeDb(second)].map((db) =>
      makeAuditLog({ db, suite: webSuite, clock: world.clock }),
    );
    const acts = Array.from({ length: 60 }, (_, index) =>
      logs[index % 2]?.record({ actor: "solaris", action: "test.race", subject: `n${index}` }),
    );
    await Promise.all(acts);
    const lines = await exported();
    const raced = lines.filter((line) => line.kind === "entry" && line.action === "test.race");
    expect(raced).toHaveLength(60);
    expect((await verify(lines)).problems).toEqual([]);
  });

  test("an act that fails leaves no entry, and the others around it are recorded", async () => {
    const { audit } = world.solaris.slices;
    const refused = { sql: "UPDATE customers SET name = name WHERE id = ?", params: ["nobody"], expect: 1 };
    const event = (subject: string) => ({ actor: "solaris", action: "test.fail", subject });
    const settled = await Promise.allSettled([
      audit.record(event("a")),
      audit.record(event("b"), refused),
      audit.record(event("c")),
      audit.record([event("d"), event("e")]),
    ]);
    expect(settled.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled", "fulfilled"]);
    const { json } = await world.api("GET", "/audit?action=test.fail");
    expect(json.items.map(({ subject }: { subject: string }) => subject).toSorted()).toEqual(["a", "c", "d", "e"]);
    expect((await verify(await exported())).problems).toEqual([]);
  });

  test("uses of keys and refusals enter the chain as one digest a minute, which the rows have to match", async () => {
    const { id } = await world.customer("Summaries");
    const agent = await world.enrolled(id);
    await agent.open();
    await agent.authorize("Mercury nonsense");
    const { db, audit } = world.solaris.slices;
    const deps = { db, audit, suite: webSuite, clock: world.clock };
    world.clock.shiftMs = 180_000;
    await Promise.all([writeSummaries(deps), writeSummaries(deps)]);
    await writeSummaries(deps);
    world.clock.shiftMs = 0;
    const { json } = await world.api("GET", "/audit?action=kms.used&limit=200");
    const minutes = json.items.map(({ detail }: { detail: { minute: number } }) => detail.minute);
    expect(new Set(minutes).size).toBe(minutes.length);
    expect(minutes.length).toBeGreaterThan(0);
    const refused = (await world.api("GET", "/audit?action=openings.refused")).json.items;
    expect(refused.length).toBeGreaterThan(0);
    const { detail } = json.items[0];
    const columns = ["operation", "key", "purpose", "count"];
    const again = await digestOf({ db, suite: webSuite }, { table: "kms_uses", columns }, detail.minute);
    expect({ rows: again.rows, total: again.total, sha256: again.digest }).toEqual({
      rows: detail.rows,
      total: detail.total,
      sha256: detail.sha256,
    });
  });
});
