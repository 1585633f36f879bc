import type { Bytes } from "#lib/bytes";
import { asFault, Fault } from "#lib/fault";
import { httpSmallBodyBytesMax, socketMessageBytesMax } from "#lib/limits";
import type { MuxStream } from "#lib/link";
import {
  type ByteSource,
  bodyStream,
  encodeHead,
  endToEnd,
  type HttpAnswerHead,
  type HttpRequestHead,
  ofTheClient,
  readAnswerHead,
  resetReason,
  wholeBody,
} from "#lib/portal";
import { type HttpConnection, type HttpServer, serveHttp } from "#lib/runtime";
import type { DesiredInlet } from "#lib/session";
import { demandListen, type InletParts, type RunningInlet } from "./inlet.ts";
import { joinServerSocket } from "./join-server-socket.ts";
import { acceptedNodes } from "./pinned-nodes.ts";
import { PortalCounts } from "./portal-counts.ts";
import { portalProblem } from "./portal-problem.ts";
import { type Opened, StreamOpener } from "./stream-opener.ts";

/** A request that goes on: its stream, and what is known of its two bodies. */
interface Exchange {
  readonly stream: MuxStream;
  /** What comes back, without what the outlet says in front. */
  readonly source: ByteSource;
  /** Whether the whole request was handed to the stream. */
  sentAll: boolean;
}

/**
 * The listening end of a portal for HTTP, a reverse proxy of this node: each request is one stream to a node at the other end,
 * which makes it anew. Bodies go through as they come, in both directions.
 */
export class HttpInlet implements RunningInlet {
  readonly counts = new PortalCounts();
  readonly #parts: InletParts;
  readonly #opener: StreamOpener;
  readonly #streams = new Set<MuxStream>();
  #desired: DesiredInlet;
  #server: HttpServer | undefined;

  private constructor(desired: DesiredInlet, parts: InletParts) {
    this.#desired = desired;
    this.#parts = parts;
    this.#opener = new StreamOpener(parts);
  }

  /** Listens. Faults: `not_allowed_here`, `config` when the address can't be had. */
  static async start(desired: DesiredInlet, parts: InletParts): Promise<HttpInlet> {
    const { listen } = desired;
    await demandListen(parts.site, listen);
    const inlet = new HttpInlet(desired, parts);
    inlet.#server = serveHttp({
      ...("unix" in listen ? { host: "", port: 0, unix: listen.unix } : listen),
      bodyBytesMax: Number.MAX_SAFE_INTEGER, // never collected: the service says what it takes
      messageBytesMax: socketMessageBytesMax,
      keepSocketsOpen: true,
      drainMs: 0,
      fetch: (request, connection) => inlet.#answer(request, connection),
      onError: (error) => inlet.#failed("a request failed", asFault(error, "internal")),
    });
    return inlet;
  }

  get desired(): DesiredInlet {
    return this.#desired;
  }

  get port(): number {
    return "unix" in this.#desired.listen ? 0 : (this.#server?.port ?? 0);
  }

  update(desired: DesiredInlet): void {
    this.#desired = desired;
  }

  close(): void {
    for (const stream of this.#streams) stream.reset("closed");
    void this.#server?.[Symbol.asyncDispose]();
  }

  async #answer(request: Request, connection: HttpConnection): Promise<Response> {
    const { counts } = this;
    counts.total++;
    const wrong = this.#wrongWith(request);
    if (wrong !== undefined) return this.#refused(new Fault("bad_request", wrong.detail), wrong.status);
    if (counts.open >= this.#desired.connectionsMax)
      return this.#refused(
        new Fault("limited", "as many requests as the portal allows are open", { detail: { retryAfterMs: 1_000 } }),
      );
    counts.open++;
    const settled = connection.keepOpen(); // streams of events may be silent for long
    let exchange: Exchange | undefined;
    const over = () => {
      if (exchange === undefined || !this.#streams.delete(exchange.stream)) return;
      counts.open--;
      settled();
    };
    try {
      const head = this.#headOf(request, connection);
      const small = head.bodyBytes !== null && head.bodyBytes <= httpSmallBodyBytesMax;
      const body = small && request.body !== null ? await request.bytes() : new Uint8Array(0);
      const { id: portal } = this.#desired;
      const opened = await this.#opener.open(acceptedNodes(this.#desired), { portal }, joined(encodeHead(head), body));
      exchange = this.#begin(opened, small);
      const { stream, source } = exchange;
      this.counts.sentBytes += body.length;
      const clientGone = () => {
        stream.reset("closed");
        over();
      };
      request.signal.addEventListener("abort", clientGone);
      if (request.signal.aborted) clientGone();
      if (!small) void this.#send(request, exchange);
      const answer = await readAnswerHead(opened.first, source);
      const response = await this.#respond(request, connection, exchange, answer, over);
      return response;
    } catch (error) {
      if (exchange === undefined) {
        counts.open--;
        settled();
      } else {
        exchange.stream.reset("closed");
        over();
      }
      return this.#refused(resetReason(asFault(error, "internal")));
    }
  }

  /** Why a request can't be sent on as it is; undefined when it can. */
  #wrongWith(request: Request): { readonly status: number; readonly detail: string } | undefined {
    const { method, headers } = request;
    if (!this.#isOwnHost(headers.get("host") ?? ""))
      return { status: 421, detail: "the portal is not called by this host name" };
    if (method === "CONNECT" || method === "TRACE") return { status: 405, detail: "this method is not sent on" };
    const announced = headers.has("transfer-encoding") || Number(headers.get("content-length") ?? 0) > 0;
    // What the runtime drops must not be lost in silence.
    if (announced && request.body === null && method !== "OPTIONS")
      return { status: 400, detail: "a body with this method is not sent on" };
    return undefined;
  }

  #isOwnHost(host: string): boolean {
    const { listen, http } = this.#desired;
    const port = this.port;
    const names = http?.hosts.length
      ? http.hosts
      : "unix" in listen
        ? ["localhost"]
        : ["localhost", bracketed(listen.host)];
    const asked = host.toLowerCase();
    return names.some((name) => {
      const own = name.toLowerCase();
      return asked === own || (port !== 0 && !/:\d+$/.test(own.replace(/^\[.*\]/, "")) && asked === `${own}:${port}`);
    });
  }

  #headOf(request: Request, { address }: HttpConnection): HttpRequestHead {
    const { pathname, search } = new URL(request.url);
    const added = Object.entries(this.#desired.http?.headers ?? {});
    const host = request.headers.get("host") ?? "";
    const headers = [
      ...ofTheClient(request.headers, added),
      ...(address === "" ? [] : ([["x-forwarded-for", address.replace(/^::ffff:(?=\d+\.)/, "")]] as const)),
      ["x-forwarded-host", host] as const,
      ["x-forwarded-proto", "http"] as const,
      ...added,
    ].map(([name, value]): [string, string] => [name, value]);
    const length = request.headers.get("content-length");
    const bodyBytes = request.body === null ? 0 : length === null ? null : Number(length);
    const webSocket =
      request.headers.get("upgrade")?.toLowerCase() === "websocket" && request.method === "GET"
        ? { webSocket: { protocols: protocolsOf(request) } }
        : {};
    return { method: request.method, target: `${pathname}${search}`, headers, bodyBytes, ...webSocket };
  }

  #begin({ stream, answer }: Opened, sentAll: boolean): Exchange {
    const { counts } = this;
    this.#streams.add(stream);
    const source: ByteSource = {
      async read() {
        for (;;) {
          const piece = await stream.read();
          const bytes = piece === null ? null : answer.take(piece);
          if (bytes?.length === 0) continue;
          counts.receivedBytes += bytes?.length ?? 0;
          return bytes;
        }
      },
    };
    return { stream, source, sentAll };
  }

  /** The request's body, as fast as the stream takes it. A client that goes away in it ends the exchange. */
  async #send(request: Request, exchange: Exchange): Promise<void> {
    const { stream } = exchange;
    try {
      for await (const bytes of request.body ?? []) {
        this.counts.sentBytes += bytes.length;
        await stream.write(bytes);
      }
      if (!request.headers.has("content-length")) stream.end();
      exchange.sentAll = true;
    } catch {
      stream.reset("closed"); // its reader is told
    }
  }

  async #respond(
    request: Request,
    connection: HttpConnection,
    exchange: Exchange,
    { head, rest }: { readonly head: HttpAnswerHead; readonly rest: Bytes },
    over: () => void,
  ): Promise<Response> {
    const { stream, source } = exchange;
    const ended = () => {
      if (exchange.sentAll) stream.end();
      else stream.reset("closed"); // the service has answered before it had everything
      over();
    };
    if ("code" in head) {
      ended();
      throw new Fault(head.code, "more than the node's rate", { detail: { retryAfterMs: head.retryAfterMs } });
    }
    if (!("headers" in head)) {
      if (request.headers.get("upgrade") === null) throw new Fault("malformed", "a WebSocket that nobody asked for");
      const socket = connection.upgrade(head.protocol === "" ? {} : { "sec-websocket-protocol": head.protocol });
      if (socket === undefined) throw new Fault("bad_request", "not a handshake of a WebSocket");
      void joinServerSocket(socket, stream, rest, source).then((fault) => {
        if (fault !== undefined && fault.code !== "closed") this.#failed("a WebSocket was cut", fault);
        over();
      });
      return new Response(null);
    }
    const { status, bodyBytes } = head;
    const headers = new Headers(endToEnd(head.headers).map(([name, value]): [string, string] => [name, value]));
    if (request.method === "HEAD" || status === 204 || status === 205 || status === 304) {
      if (request.method === "HEAD" && bodyBytes !== null) headers.set("content-length", String(bodyBytes));
      ended();
      return new Response(null, { status, headers });
    }
    if (bodyBytes !== null && bodyBytes <= httpSmallBodyBytesMax) {
      const body = await wholeBody(rest, source, bodyBytes);
      ended();
      return new Response(body, { status, headers });
    }
    const cancelled = () => {
      stream.reset("closed");
      over();
    };
    const cut = (fault: Fault) => {
      over();
      this.#failed("an answer was cut", fault);
    };
    return new Response(bodyStream(rest, told(source, cut), bodyBytes, { ended, cancelled }), { status, headers });
  }

  #refused(fault: Fault, status?: number): Response {
    this.counts.refused++;
    this.#failed("a request was refused", fault);
    return portalProblem(fault, status);
  }

  #failed(what: string, fault: Fault): void {
    const { log, clock, failed } = this.#parts;
    this.counts.failed(fault, clock.now());
    failed?.(fault);
    const level = fault.code === "internal" ? "error" : "warn";
    log[level](what, { portal: this.#desired.name, code: fault.code, reason: fault.message });
  }
}

/** `source`, with `cut` told what it ended with if that was no end. */
function told(source: ByteSource, cut: (fault: Fault) => void): ByteSource {
  return {
    async read() {
      try {
        return await source.read();
      } catch (error) {
        const fault = resetReason(asFault(error, "internal"));
        cut(fault);
        throw fault;
      }
    },
  };
}

const protocolsOf = (request: Request) =>
  (request.headers.get("sec-websocket-protocol") ?? "")
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");

const bracketed = (host: string) => (host.includes(":") ? `[${host}]` : host);

function joined(head: Bytes, body: Bytes): Bytes {
  const whole = new Uint8Array(head.length + body.length);
  whole.set(head);
  whole.set(body, head.length);
  return whole;
}
