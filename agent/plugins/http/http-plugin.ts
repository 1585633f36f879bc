import type { HttpConfig } from "#lib/session";
import { Background } from "../background.ts";
import type { DownDelivery, Plugin, PluginHost } from "../plugin.ts";
import { HttpDelivery } from "./deliver-http.ts";
import { HttpSystem } from "./http-system.ts";
import { HttpPoller } from "./poller.ts";

/** `http`: calls an on-premise REST endpoint with each message, and polls one for messages. */
export class HttpPlugin implements Plugin {
  readonly repeatable: boolean;
  readonly deliver?: (message: DownDelivery, signal: AbortSignal) => Promise<void>;
  readonly collectNow?: () => Promise<number>;
  readonly #system: HttpSystem;
  readonly #background = new Background();
  readonly #poller: HttpPoller | undefined;

  /** Fault `config` when address, header or schedule can't be used anywhere. */
  constructor(config: HttpConfig, host: PluginHost) {
    this.#system = new HttpSystem(config, host);
    this.repeatable = config.down?.keepsIdempotencyKeys ?? true;
    if (config.down !== undefined) {
      const delivery = new HttpDelivery(this.#system, config.down);
      this.deliver = (message, signal) => delivery.deliver(message, signal);
    }
    if (config.up !== undefined) {
      const poller = new HttpPoller(this.#system, config.up, host, this.#background);
      this.#poller = poller;
      this.collectNow = () => poller.collectNow();
    }
  }

  async start(): Promise<void> {
    await this.#system.allowed();
    this.#poller?.begin();
  }

  async check(signal: AbortSignal): Promise<void> {
    await this.#system.allowed();
    await this.#system.well(signal);
  }

  trouble(): string | undefined {
    return this.#poller?.trouble;
  }

  facts(): Readonly<Record<string, string | number>> {
    return this.#poller === undefined ? {} : { collected: this.#poller.collected };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#background[Symbol.asyncDispose]();
    await this.#poller?.idle();
  }
}
