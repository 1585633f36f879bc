import type { Bytes } from "#lib/bytes";
import { Fault, type FaultDetail } from "#lib/fault";
import { answerReadBytesMax, answerReasonLengthMax } from "#lib/limits";
import { redact } from "#lib/log";
import type { HttpConfig } from "#lib/session";
import { deadline } from "../deadline.ts";
import type { PluginHost } from "../plugin.ts";
import { readStart } from "../read-bounded.ts";
import { retryAfterMs } from "./retry-after.ts";
import { type SystemAddress, systemAddress } from "./system-address.ts";

const probeTimeoutMsMax = 10_000;

export interface SystemCall {
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Bytes;
  readonly timeoutMs?: number;
  readonly keepAlive?: boolean;
}

/** What a system said, as far as a person has to know it. */
export interface SystemAnswer {
  readonly status: number;
  /** The start of its body as one line of text, without secrets; may be empty. */
  readonly text: string;
  readonly retryAfterMs: number | undefined;
}

/** Calls to one system, with its authentication, in bounded time. */
export class HttpSystem {
  readonly #config: HttpConfig;
  readonly #host: Pick<PluginHost, "clock" | "fetch" | "site">;
  readonly #address: SystemAddress;
  readonly #secrets: readonly string[];

  /** Fault `config` when the address or its authentication can't be used anywhere. */
  constructor(config: HttpConfig, host: Pick<PluginHost, "clock" | "fetch" | "site">) {
    this.#config = config;
    this.#host = host;
    this.#address = systemAddress(config);
    const headers = Object.values(config.down?.headers ?? {}).filter((value) => value.length >= 8);
    this.#secrets = [...this.#address.secrets, ...headers];
    for (const path of [config.checkPath, config.down?.path, config.up?.path])
      if (path !== undefined) this.#address.url(path);
  }

  /** Fault `not_allowed_here` unless the site's list names the system. That it can't be found now is no fault of the configuration. */
  async allowed(): Promise<void> {
    try {
      await this.#host.site.allowConnect(this.#address.hostname, this.#address.port);
    } catch (error) {
      if (!(error instanceof Fault && error.code === "unavailable")) throw error;
    }
  }

  /**
   * One request; `read` takes what is needed of the answer, within the same time-out. Faults: `not_allowed_here`,
   * `system_unavailable` when nothing was sent, `outcome_unknown` when the time was up or the connection lost after that.
   */
  async call<T>(call: SystemCall, signal: AbortSignal, read: (response: Response) => Promise<T>): Promise<T> {
    if (signal.aborted) throw new Fault("system_unavailable", "stopped before the system was called");
    const timeoutMs = call.timeoutMs ?? this.#config.timeoutMs;
    using limit = deadline(this.#host.clock, timeoutMs, signal);
    try {
      const response = await this.#host.fetch({
        url: this.#address.url(call.path),
        method: call.method,
        headers: { accept: "application/json, */*;q=0.5", ...call.headers, ...this.#address.authorization },
        signal: limit.signal,
        ...(call.body === undefined ? {} : { body: call.body }),
        ...(call.keepAlive === undefined ? {} : { keepAlive: call.keepAlive }),
      });
      return await read(response);
    } catch (error) {
      if (limit.expired) throw new Fault("outcome_unknown", `the system did not answer within ${timeoutMs} ms`);
      if (signal.aborted) throw new Fault("outcome_unknown", "stopped before the system answered");
      if (error instanceof Fault) throw error;
      throw new Fault("outcome_unknown", "the connection was lost before the answer was whole", { cause: error });
    }
  }

  /** Status and reason of an answer. Never rejects: that the status came decides, not what follows it. */
  async answerOf(response: Response): Promise<SystemAnswer> {
    const { bytes } = await readStart(response.body, answerReadBytesMax).catch(() => ({ bytes: new Uint8Array(0) }));
    const location = response.headers.get("location");
    const redirect = response.status >= 300 && response.status < 400 && location !== null;
    return {
      status: response.status,
      text: redirect ? redirectText(location, response.url) : this.#shown(new TextDecoder().decode(bytes)),
      retryAfterMs: retryAfterMs(response.headers.get("retry-after"), this.#host.clock.now()),
    };
  }

  /** Resolves when the system answers anything at all. Fault `system_unavailable`. */
  async answers(signal: AbortSignal): Promise<void> {
    await this.#probe(signal);
  }

  /** Resolves when the system is well: 2xx at `checkPath`, or without one anything below 500 at `/`. Fault `system_unavailable`. */
  async well(signal: AbortSignal): Promise<void> {
    const answer = await this.#probe(signal);
    const well = this.#config.checkPath === undefined ? answer.status < 500 : isOk(answer.status);
    if (!well) throw unavailable(answer);
  }

  async #probe(signal: AbortSignal): Promise<SystemAnswer> {
    const timeoutMs = Math.min(this.#config.timeoutMs, probeTimeoutMsMax);
    try {
      return await this.call({ method: "GET", path: this.#config.checkPath ?? "/", timeoutMs }, signal, (response) =>
        this.answerOf(response),
      );
    } catch (error) {
      throw harmless(error);
    }
  }

  #shown(text: string): string {
    let shown = text;
    for (const secret of this.#secrets) shown = shown.replaceAll(secret, "‹redacted›");
    const line = String(redact(shown))
      .replace(/[\p{Cc}\p{Cf}\s\ufffd]+/gu, " ")
      .trim();
    return line.length > answerReasonLengthMax ? `${line.slice(0, answerReasonLengthMax)}…` : line;
  }
}

export const isOk = (status: number) => status >= 200 && status < 300;

/** The system is not available now, in its own words. */
export function unavailable({ status, text, retryAfterMs: waitMs }: SystemAnswer): Fault {
  const detail: FaultDetail = { status, ...(waitMs === undefined ? {} : { retryAfterMs: waitMs }) };
  return new Fault("system_unavailable", said(status, text), { detail });
}

/** `the system answered 422: …` */
export function said(status: number, text: string): string {
  return `the system answered ${status}${text === "" ? "" : `: ${text}`}`;
}

/** For calls that change nothing: whether one arrived does not matter, the system is just not available. */
export function harmless(error: unknown): unknown {
  if (!(error instanceof Fault) || error.code !== "outcome_unknown") return error;
  return new Fault("system_unavailable", error.message, { cause: error });
}

/** Where a redirect would lead, without path and query: those may hold what is secret. */
function redirectText(location: string, from: string): string {
  const base = from === "" ? undefined : from;
  const origin = URL.canParse(location, base) ? new URL(location, base).origin : "elsewhere";
  return `a redirect to ${origin}, which is not followed`;
}
