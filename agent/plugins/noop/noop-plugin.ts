import { sleep } from "#lib/clock";
import type { NoopConfig } from "#lib/session";
import { Background } from "../background.ts";
import { emitPatiently } from "../emit-patiently.ts";
import type { DownDelivery, Plugin, PluginHost } from "../plugin.ts";

const memory = "emitted";

/** `noop`: takes everything, and makes messages of its own. For tests and benchmarks. */
export class NoopPlugin implements Plugin {
  readonly repeatable = true;
  readonly #config: NoopConfig;
  readonly #host: PluginHost;
  readonly #background = new Background();
  #delivered = 0;
  #deliveredBytes = 0;
  #emitted = 0;

  constructor(config: NoopConfig, host: PluginHost) {
    this.#config = config;
    this.#host = host;
  }

  async start(): Promise<void> {
    this.#background.begin(
      (signal) => this.#emit(signal),
      (fault) => this.#host.log.error("emitting ended", { code: fault.code, reason: fault.message }),
    );
  }

  async check(): Promise<void> {}

  async deliver(message: DownDelivery, signal: AbortSignal): Promise<void> {
    const delayMs = this.#config.down?.delayMs ?? 0;
    if (delayMs > 0) await sleep(this.#host.clock, delayMs, { signal });
    this.#delivered += 1;
    this.#deliveredBytes += message.body.length;
  }

  facts(): Readonly<Record<string, string | number>> {
    return { delivered: this.#delivered, deliveredBytes: this.#deliveredBytes, emitted: this.#emitted };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#background[Symbol.asyncDispose]();
  }

  /** Bodies begin with their number, 8 bytes big-endian: what is missing or comes twice can be told. */
  async #emit(signal: AbortSignal): Promise<void> {
    const { up } = this.#config;
    if (up === undefined) return;
    const { clock, random } = this.#host;
    this.#emitted = Number((await this.#host.recall(memory)) ?? 0);
    const filling = random(up.bodyBytes);
    const [beganMs, beganAt] = [clock.monotonic(), this.#emitted];
    while (this.#emitted < up.messages && !signal.aborted) {
      const count = Math.min(up.batch, up.messages - this.#emitted);
      const batch = Array.from({ length: count }, (_, index) => ({ body: numbered(filling, this.#emitted + index) }));
      const after = this.#emitted + count;
      await emitPatiently(this.#host, batch, { [memory]: String(after) }, { signal, waits: () => undefined });
      this.#emitted = after;
      if (up.perSecond > 0) {
        const dueMs = beganMs + ((after - beganAt) * 1_000) / up.perSecond;
        await sleep(clock, Math.max(0, dueMs - clock.monotonic()), { signal });
      }
    }
  }
}

function numbered(filling: Uint8Array<ArrayBuffer>, number: number): Uint8Array<ArrayBuffer> {
  const body = filling.slice();
  new DataView(body.buffer).setBigUint64(0, BigInt(number));
  return body;
}
