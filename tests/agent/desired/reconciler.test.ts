import { beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { webSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import { silentLog } from "#lib/log";
import { systemClock, systemRandom } from "#lib/runtime";
import { type DesiredPlugin, type DesiredReport, desiredPluginSchema } from "#lib/session";
import { Reconciler } from "../../../agent/desired/reconciler.ts";
import { openStore, type Store } from "../../../agent/store/open-store.ts";

const plugin = (name: string, version: number, more: Partial<DesiredPlugin> = {}): DesiredPlugin =>
  desiredPluginSchema.parse({ name, type: "http", version, enabled: true, config: {}, lane: {}, ...more });

/** Runs what it is told, but refuses the versions it was told to refuse. */
class Runner {
  readonly #running = new Map<string, DesiredPlugin>();
  readonly refused = new Set<string>();
  readonly acts: string[] = [];

  running() {
    return this.#running;
  }

  async run(wanted: DesiredPlugin) {
    this.#running.delete(wanted.name);
    this.acts.push(`run ${wanted.name} ${wanted.version}`);
    if (this.refused.has(`${wanted.name} ${wanted.version}`)) throw new Fault("not_allowed_here", "no such host here");
    this.#running.set(wanted.name, wanted);
  }

  async stop(name: string) {
    this.acts.push(`stop ${name}`);
    this.#running.delete(name);
  }
}

let store: Store;
let runner: Runner;
let reports: DesiredReport[];
let reconciler: Reconciler;

const make = () =>
  new Reconciler({
    items: store.items,
    runner,
    log: silentLog,
    report: async (report) => {
      reports.push(report);
    },
  });

/** As `takeDesired` leaves it, then applied. */
async function want(number: number, ...plugins: DesiredPlugin[]) {
  await store.items.want(number, { plugins, portals: [], policies: [] });
  await reconciler.apply(number);
}

beforeEach(async () => {
  store = await openStore({
    path: join(mkdtempSync(join(tmpdir(), "desired-")), "mercury.db"),
    encryptionKey: "k".repeat(32),
    suite: webSuite,
    random: systemRandom,
    clock: systemClock,
  });
  await store.cloud.beginEnrollment({
    gateway: "https://nexus.example.com",
    authority: `I${"0".repeat(64)}`,
    token: "t",
  });
  await store.cloud.enrolled({
    agentId: "a",
    solarisPublic: new Uint8Array(32),
    credential: "c",
    authority: new Uint8Array(1),
    authorityIat: 1,
    now: 1,
  });
  runner = new Runner();
  reports = [];
  reconciler = make();
});

describe("desired state", () => {
  test("runs what is listed, stops what is not, leaves alone what runs as wanted", async () => {
    await want(1, plugin("erp", 1), plugin("files", 1));
    await want(2, plugin("erp", 2), plugin("hooks", 1));
    await want(3, plugin("erp", 2), plugin("hooks", 1));
    expect(runner.acts).toEqual(["run erp 1", "run files 1", "stop files", "run erp 2", "run hooks 1"]);
    expect(reports.at(1)?.items.find(({ name }) => name === "files")?.state).toBe("removed");
    expect(reports.map(({ number }) => number)).toEqual([1, 2, 3]);
  });

  test("a form that can't run gives way to the last good one, and says why", async () => {
    await want(1, plugin("erp", 1));
    runner.refused.add("erp 2");
    await want(2, plugin("erp", 2));
    expect(runner.running().get("erp")?.version).toBe(1);
    expect(reports.at(-1)?.items).toEqual([
      {
        kind: "plugin",
        name: "erp",
        actual: 1,
        wanted: 2,
        state: "failed",
        code: "not_allowed_here",
        reason: "no such host here",
      },
    ]);
  });

  test("one item that can't run does not keep the others from it", async () => {
    runner.refused.add("erp 1");
    await want(1, plugin("erp", 1), plugin("files", 1));
    expect([...runner.running().keys()]).toEqual(["files"]);
  });

  test("the last good form is sealed where the one that can't run is: it takes no more than that", async () => {
    const named = { identifier: `I${"a".repeat(64)}`, chain: "AA" };
    const seal = { solaris: named, senders: [], consumer: named };
    await want(1, plugin("erp", 1));
    runner.refused.add("erp 2");
    await want(2, plugin("erp", 2, { seal }));
    expect(runner.running().get("erp")).toMatchObject({ version: 1, seal });
  });

  test("the last good form comes back after a restart, and no newer failed one", async () => {
    await want(1, plugin("erp", 1));
    runner.refused.add("erp 2");
    await want(2, plugin("erp", 2));
    runner = new Runner();
    reconciler = make();
    await reconciler.resume(2);
    expect(runner.acts).toEqual(["run erp 1"]);
  });

  test("only the newest of those missed is applied, and the others are counted", async () => {
    await want(1, plugin("erp", 1));
    await want(4, plugin("erp", 4));
    expect(runner.acts).toEqual(["run erp 1", "run erp 4"]);
    expect(reports.at(-1)?.skipped).toBe(2);
  });

  test("switched off stops it; what was switched off stays so after a restart", async () => {
    await want(1, plugin("erp", 1));
    await want(2, plugin("erp", 2, { enabled: false }));
    expect(runner.running().size).toBe(0);
    expect(reports.at(-1)?.items[0]?.state).toBe("disabled");
    reconciler = make();
    await reconciler.resume(2);
    expect(runner.running().size).toBe(0);
  });

  test("a restart in the middle goes on with the newest", async () => {
    await store.items.want(1, { plugins: [plugin("erp", 1)], portals: [], policies: [] });
    await reconciler.resume(1);
    expect(runner.running().get("erp")?.version).toBe(1);
    expect((await store.items.all())[0]?.state).toBe("applied");
  });
});
