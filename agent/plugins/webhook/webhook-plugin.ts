import { Hono } from "hono";
import { Fault } from "#lib/fault";
import { webhookPendingBytesMax, webhookPendingMax, webhookReadTimeoutMs } from "#lib/limits";
import { type HttpServer, probeTcp, serveHttp } from "#lib/runtime";
import type { WebhookConfig } from "#lib/session";
import { deadline } from "../deadline.ts";
import { fraction } from "../fraction.ts";
import type { Collected, Plugin, PluginHost } from "../plugin.ts";
import { readBounded } from "../read-bounded.ts";
import { stableId } from "../stable-id.ts";
import { type CallerAuth, challengeOf, makeCallerAuth } from "./caller-auth.ts";
import { SeenKeys } from "./seen-keys.ts";

const keyLengthMax = 256;
const contentTypeLengthMax = 200;

/** `webhook`: listens for systems that push. 202 is said after the outbox is durable, and not before. */
export class WebhookPlugin implements Plugin {
  readonly repeatable = true; // nothing is delivered
  readonly #config: WebhookConfig;
  readonly #host: PluginHost;
  readonly #authenticated: CallerAuth;
  readonly #seen: SeenKeys;
  readonly #stop = new AbortController();
  #server: HttpServer | undefined;
  #pending = 0;
  #pendingBytes = 0;
  #accepted = 0;
  #refused = 0;

  constructor(config: WebhookConfig, host: PluginHost) {
    this.#config = config;
    this.#host = host;
    this.#authenticated = makeCallerAuth(config.auth);
    this.#seen = new SeenKeys(host);
  }

  async start(): Promise<void> {
    const { host, port, bodyBytesMax } = this.#config;
    this.#host.site.allowListen(host, port);
    const app = this.#app();
    this.#server = serveHttp({
      host,
      port,
      fetch: (request) => app.fetch(request),
      bodyBytesMax: bodyBytesMax + 1, // ours is reached first, and says why
      onError: (error) => this.#host.log.error("webhook request failed", { error }),
    });
    this.#host.log.info("webhook listens", { host, port: this.#server.port });
  }

  async check(): Promise<void> {
    if (this.#server === undefined) throw new Fault("unavailable", "the webhook does not listen");
    const { host } = this.#config;
    const here = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
    await probeTcp(here, this.#server.port, 5_000);
  }

  facts(): Readonly<Record<string, string | number>> {
    if (this.#server === undefined) return {};
    return {
      host: this.#config.host,
      port: this.#server.port,
      url: `${this.#server.origin}${this.#config.path}`,
      accepted: this.#accepted,
      refused: this.#refused,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server?.stopAccepting();
    this.#stop.abort(new Fault("draining"));
    await this.#server?.[Symbol.asyncDispose]();
  }

  #app(): Hono {
    const app = new Hono();
    app.all("*", async (context) => {
      try {
        if (!(await this.#authenticated(context.req.header("authorization")))) throw new Fault("unauthenticated");
        if (context.req.path !== this.#config.path) throw new Fault("not_found");
        if (context.req.method !== "POST") {
          context.header("allow", "POST");
          return context.json({ error: "method_not_allowed" }, 405);
        }
        return context.json({ id: await this.#take(context.req.raw) }, 202);
      } catch (error) {
        return this.#refusal(error);
      }
    });
    return app;
  }

  /** Stores one post; its id once it is durable. */
  async #take(request: Request): Promise<string> {
    const { bodyBytesMax } = this.#config;
    if (this.#stop.signal.aborted) throw new Fault("draining");
    const announced = Number(request.headers.get("content-length") ?? Number.NaN);
    if (announced > bodyBytesMax) throw new Fault("too_large");
    const reservedBytes = Number.isNaN(announced) ? bodyBytesMax : announced;
    if (this.#pending >= webhookPendingMax || this.#pendingBytes + reservedBytes > webhookPendingBytesMax)
      throw new Fault("limited", "too many posts at once");
    this.#pending += 1;
    this.#pendingBytes += reservedBytes;
    try {
      const id = await this.#store(await this.#messageOf(request));
      this.#accepted += 1;
      return id;
    } finally {
      this.#pending -= 1;
      this.#pendingBytes -= reservedBytes;
    }
  }

  async #store(message: Collected): Promise<string> {
    if (message.id === undefined) {
      const [id] = await this.#host.emit([message]);
      if (id === undefined) throw new TypeError("a stored message without an id");
      return id;
    }
    const hash = await stableId(message.contentType ?? "", message.body);
    await this.#seen.once(message.id, hash, (remember) => this.#host.emit([message], remember));
    return message.id;
  }

  async #messageOf(request: Request): Promise<Collected> {
    const key = request.headers.get("idempotency-key");
    if (key !== null && (key === "" || key.length > keyLengthMax))
      throw new Fault("bad_request", `an Idempotency-Key has 1 to ${keyLengthMax} characters`);
    const contentType = request.headers.get("content-type");
    if (contentType !== null && contentType.length > contentTypeLengthMax)
      throw new Fault("bad_request", `a content type has at most ${contentTypeLengthMax} characters`);
    return {
      body: await this.#bodyOf(request),
      ...(contentType === null ? {} : { contentType }),
      ...(key === null ? {} : { id: await stableId("webhook", this.#host.name, key) }),
    };
  }

  /** The body, which has to be there in bounded time: a slow caller must not hold its place for ever. */
  async #bodyOf(request: Request) {
    using limit = deadline(this.#host.clock, webhookReadTimeoutMs, this.#stop.signal);
    const late = new Promise<never>((_resolve, reject) => {
      limit.signal.addEventListener("abort", () => reject(limit.signal.reason), { once: true });
    });
    return await Promise.race([readBounded(request.body, this.#config.bodyBytesMax), late]);
  }

  #refusal(error: unknown): Response {
    this.#refused += 1;
    if (!(error instanceof Fault)) {
      this.#host.log.error("webhook request failed", { error });
      return Response.json({ error: "internal" }, { status: 500 });
    }
    const { code, entry } = error;
    const status = code === "timeout" ? 408 : code === "disk_full" || code === "limited" ? 503 : entry.status;
    const headers = new Headers();
    if (status === 503) headers.set("retry-after", String(5 + Math.floor(fraction(this.#host.random) * 6)));
    if (code === "unauthenticated") headers.set("www-authenticate", challengeOf(this.#config.auth));
    const explained = entry.scope === "caller" ? error.message : entry.text;
    return Response.json({ error: code, message: explained }, { status, headers });
  }
}
