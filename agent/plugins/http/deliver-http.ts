import { asFault, Fault } from "#lib/fault";
import type { HttpConfig } from "#lib/session";
import type { DownDelivery } from "../plugin.ts";
import { type HttpSystem, isOk, type SystemAnswer, said, unavailable } from "./http-system.ts";
import { configuredHeaders, isHeaderValue } from "./system-address.ts";

type DownConfig = NonNullable<HttpConfig["down"]>;

/** Statuses below 500 that say something about the system or the way to it, not about the message. */
const systemStatuses = new Set([401, 403, 407, 408, 425, 429]);

/** Calls a system with one message after the other (DESIGN §4). */
export class HttpDelivery {
  readonly #system: HttpSystem;
  readonly #config: DownConfig;
  readonly #headers: Readonly<Record<string, string>>;
  /**
   * The last call got no answer. Before the next message is risked the system has to answer something harmless: over a
   * weekend one message of unknown outcome is enough.
   */
  #suspect = false;

  constructor(system: HttpSystem, config: DownConfig) {
    this.#system = system;
    this.#config = config;
    this.#headers = configuredHeaders(config.headers);
  }

  /** Resolves when the system said 2xx. Faults: `system_unavailable`, `refused`, `outcome_unknown`, `not_allowed_here`. */
  async deliver(message: DownDelivery, signal: AbortSignal): Promise<void> {
    if (this.#suspect) await this.#system.answers(signal);
    this.#suspect = false;
    const answer = await this.#call(message, signal);
    if (!isOk(answer.status)) throw await this.#failure(answer, signal);
  }

  async #call({ id, contentType, body }: DownDelivery, signal: AbortSignal): Promise<SystemAnswer> {
    const { method, path, keepsIdempotencyKeys } = this.#config;
    const type = contentType ?? this.#headers["content-type"] ?? "application/octet-stream";
    if (!isHeaderValue(type)) throw new Fault("refused", "the content type of the message can't stand in a header");
    const headers = { ...this.#headers, "content-type": type, "idempotency-key": id };
    try {
      return await this.#system.call(
        { method, path, headers, body, keepAlive: keepsIdempotencyKeys },
        signal,
        (response) => this.#system.answerOf(response),
      );
    } catch (error) {
      this.#suspect = true;
      const fault = asFault(error, "plugin_failed");
      if (fault.code === "outcome_unknown" && keepsIdempotencyKeys)
        throw new Fault("system_unavailable", fault.message, { cause: fault });
      throw fault;
    }
  }

  async #failure(answer: SystemAnswer, signal: AbortSignal): Promise<Fault> {
    const { status, text } = answer;
    const refused = new Fault("refused", said(status, text), { detail: { status } });
    if (status === 500) {
      // Is it the message or the system? Only a system that is well otherwise has refused it.
      return await this.#system.well(signal).then(
        () => refused,
        () => unavailable(answer),
      );
    }
    return status >= 400 && status < 500 && !systemStatuses.has(status) ? refused : unavailable(answer);
  }
}
