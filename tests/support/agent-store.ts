import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Clock } from "#lib/clock";
import { chooseSuite } from "#lib/crypto";
import { systemRandom } from "#lib/runtime";
import { openStore, type Store } from "../../agent/store/open-store.ts";

/** Stores of Mercury in folders of their own, which are gone with it. */
export class AgentStores implements AsyncDisposable {
  readonly #folders: string[] = [];
  readonly #open: Store[] = [];

  /** Path of a store that does not exist yet. */
  async path(): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), "mercury-store-"));
    this.#folders.push(folder);
    return join(folder, "mercury.db");
  }

  async open(path: string, clock: Pick<Clock, "now">, more: { inboxBytes?: number; outboxBytes?: number } = {}) {
    const store = await openStore({
      path,
      encryptionKey: "a key for the tests, of some length",
      suite: await chooseSuite(),
      random: systemRandom,
      clock,
      ...more,
    });
    this.#open.push(store);
    return store;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const store of this.#open.splice(0)) await store[Symbol.asyncDispose]();
    for (const folder of this.#folders.splice(0)) await rm(folder, { recursive: true });
  }
}
