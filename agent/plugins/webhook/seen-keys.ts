import { Fault } from "#lib/fault";
import { idempotencyKeyLifeMs } from "#lib/limits";
import type { PluginHost } from "../plugin.ts";

const prefix = "key ";
/** Keys are counted in steps of this many, and at most this many steps are remembered: about 30 MB. */
const stepKeys = 1_000;
const stepsMax = 200;

/**
 * Posts that came with an `Idempotency-Key`: remembered for 24 h in the transaction that stores them (under a flood of keys
 * for less), so that a caller who missed the answer may ask again.
 */
export class SeenKeys {
  readonly #host: Pick<PluginHost, "recall" | "forget" | "clock">;
  readonly #under = new Map<string, { readonly hash: string; readonly stored: Promise<void> }>();
  readonly #steps: number[] = [];
  #keys = 0;

  constructor(host: Pick<PluginHost, "recall" | "forget" | "clock">) {
    this.#host = host;
  }

  /**
   * Runs `store` with what it has to remember, unless this id was stored before. Fault `idempotency_conflict` when that was
   * with another body.
   */
  async once(
    id: string,
    hash: string,
    store: (remember: Readonly<Record<string, string>>) => Promise<unknown>,
  ): Promise<void> {
    const under = this.#under.get(id);
    if (under !== undefined) {
      if (under.hash !== hash) throw new Fault("idempotency_conflict");
      return await under.stored;
    }
    const stored = this.#store(id, hash, store);
    this.#under.set(id, { hash, stored });
    try {
      await stored;
    } finally {
      this.#under.delete(id);
    }
  }

  async #store(id: string, hash: string, store: (remember: Readonly<Record<string, string>>) => Promise<unknown>) {
    const known = await this.#host.recall(`${prefix}${id}`);
    if (known !== undefined && known !== hash) throw new Fault("idempotency_conflict");
    if (known !== undefined) return;
    await store({ [`${prefix}${id}`]: hash });
    this.#keys += 1;
    if (this.#keys % stepKeys === 1) await this.#forget();
  }

  async #forget(): Promise<void> {
    const now = this.#host.clock.now();
    this.#steps.push(now);
    const oldest = this.#steps.length > stepsMax ? (this.#steps.shift() ?? 0) : 0;
    await this.#host.forget(prefix, Math.max(oldest, now - idempotencyKeyLifeMs));
  }
}
