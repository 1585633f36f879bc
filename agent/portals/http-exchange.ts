import { type Bytes, concat } from "#lib/bytes";
import type { Cancel, Clock } from "#lib/clock";
import { asFault, Fault } from "#lib/fault";
import { httpHeadTimeoutMs, httpLingerMs, httpSmallBodyBytesMax } from "#lib/limits";
import type { MuxStream } from "#lib/link";
import type { PolicyRequest } from "#lib/policy";
import {
  type ByteSource,
  bodyStream,
  encodeHead,
  endToEnd,
  type HttpAnswerHead,
  type HttpRequestHead,
  portalAnswer,
  readRequestHead,
  wholeBody,
} from "#lib/portal";
import type { DesiredOutlet } from "#lib/session";
import type { SiteFetch } from "../site/site-fetch.ts";
import type { PortalCounts } from "./portal-counts.ts";
import { type ServiceSockets, serveSocket } from "./service-socket.ts";

export interface HttpExchangeParts {
  readonly clock: Clock;
  readonly fetch: SiteFetch;
  readonly sockets: ServiceSockets;
  readonly desired: DesiredOutlet;
  readonly counts: PortalCounts;
  /** Throws the Fault of what may not be asked. */
  readonly judge: (asked: Pick<PolicyRequest, "method" | "host" | "path">) => void;
}

const connected = new Uint8Array([portalAnswer.connected]);

/**
 * The serving end of one HTTP request: reads its head, judges it, makes a request of its own to the service, and sends the answer
 * back; both bodies as they come. Nothing that the far end says is taken for text: there is no other request to be made of it.
 * Rejects with the Fault of what was refused or cut.
 */
export async function serveExchange(stream: MuxStream, first: Bytes, parts: HttpExchangeParts): Promise<void> {
  const { clock, counts, judge, desired } = parts;
  const source: ByteSource = {
    async read() {
      const bytes = await stream.read();
      counts.receivedBytes += bytes?.length ?? 0;
      return bytes;
    },
  };
  const { head, rest } = await withDeadline(clock, httpHeadTimeoutMs, readRequestHead(first, source));
  const url = urlOf(desired, head.target);
  const host = head.headers.find(([name]) => name === "x-forwarded-host")?.[1];
  judge({ method: head.method, path: url.pathname, ...(host === undefined ? {} : { host }) });
  if (head.webSocket !== undefined) {
    await serveSocket(stream, { url, head, protocols: head.webSocket.protocols, rest, source }, parts);
    return;
  }
  const ending = new AbortController();
  try {
    const { response, watched } = await answerOf(url, head, rest, source, ending, parts);
    await sendAnswer(stream, url, head, response, counts);
    stream.end();
    await lingering(clock, watched, stream);
  } finally {
    ending.abort(new Fault("closed", "the exchange is over"));
  }
}

/** Where a target leads. Fault `malformed` for one that means another path than it shows (`/a/../b`, `/%2e%2e/b`). */
function urlOf({ target: { host, port }, http }: DesiredOutlet, target: string): URL {
  const at = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  const url = new URL(`${http?.tls ? "https" : "http"}://${at}${target}`);
  if (`${url.pathname}${url.search}` !== target) throw new Fault("malformed", "a path that is not in its plain form");
  return url;
}

async function answerOf(
  url: URL,
  { method, headers, bodyBytes }: HttpRequestHead,
  rest: Bytes,
  source: ByteSource,
  ending: AbortController,
  { clock, fetch, desired }: HttpExchangeParts,
): Promise<{ response: Response; watched: Promise<void> }> {
  const silenceMs = desired.http?.answerTimeoutMs ?? 60_000;
  let cancel: Cancel = () => undefined;
  const wait = () => {
    cancel();
    cancel = clock.after(silenceMs, () => ending.abort(new Fault("timeout", "the service did not answer in time")));
  };
  const watched = Promise.withResolvers<void>();
  watched.promise.catch(() => undefined); // whoever waits for the answer is told by the signal
  /** Behind its body the inlet says nothing more: what comes instead is its end, or that the client is gone. */
  const watch = async () => {
    try {
      if ((await source.read()) !== null) throw new Fault("malformed", "more than the request");
      watched.resolve();
    } catch (error) {
      ending.abort(asFault(error, "internal"));
      watched.reject(error);
    }
  };
  const small = bodyBytes !== null && bodyBytes <= httpSmallBodyBytesMax;
  const hasBody = method !== "GET" && method !== "HEAD";
  if (!hasBody && bodyBytes !== 0) throw new Fault("malformed", "a body with this method");
  let touched = false;
  const counted: ByteSource = {
    async read() {
      touched = true;
      try {
        const bytes = await source.read();
        wait(); // an upload may take as long as it goes on
        return bytes;
      } catch (error) {
        ending.abort(asFault(error, "internal"));
        throw error;
      }
    },
  };
  const streamed = () =>
    touched
      ? undefined
      : bodyStream(rest, counted, bodyBytes, {
          ended: () => {
            if (bodyBytes === null) watched.resolve();
            else void watch();
          },
        });
  const whole = small ? await wholeBody(rest, source, bodyBytes) : undefined;
  const body = !hasBody ? {} : { body: whole ?? streamed };
  if (small) void watch();
  wait();
  try {
    const asked = { url, method, headers: recordOf(headers, bodyBytes, hasBody), signal: ending.signal };
    // A connection of an earlier request may be closing: a request that must not be sent twice gets one of its own.
    const keepAlive = method === "GET" || method === "HEAD" || method === "OPTIONS";
    const response = await fetch({ ...asked, ...body, keepAlive, asSent: true });
    return { response, watched: watched.promise };
  } catch (error) {
    const fault = asFault(error, "system_unavailable", "the service did not take the request");
    if (fault.code !== "outcome_unknown") throw fault;
    throw new Fault("system_unavailable", fault.message, { cause: fault });
  } finally {
    cancel();
  }
}

/** Several fields of one name are one, joined (RFC 9110 §5.3; cookies RFC 9113 §8.2.3). What the runtime would add by itself is said to be empty. */
function recordOf(
  headers: HttpRequestHead["headers"],
  bodyBytes: number | null,
  hasBody: boolean,
): Record<string, string> {
  const record = new Headers();
  for (const [name, value] of endToEnd(headers)) record.append(name, value);
  for (const name of ["user-agent"]) if (!record.has(name)) record.set(name, "");
  if (!record.has("accept-encoding")) record.set("accept-encoding", "identity");
  if (hasBody && bodyBytes !== null) record.set("content-length", String(bodyBytes));
  return Object.fromEntries(record);
}

async function sendAnswer(
  stream: MuxStream,
  url: URL,
  { method }: HttpRequestHead,
  response: Response,
  counts: PortalCounts,
): Promise<void> {
  const { status } = response;
  const length = response.headers.has("transfer-encoding") ? null : response.headers.get("content-length");
  const bodiless = method === "HEAD" || status === 204 || status === 205 || status === 304;
  const bodyBytes = length === null || !/^\d{1,15}$/.test(length) ? (bodiless ? 0 : null) : Number(length);
  const headers = endToEnd(response.headers).map(([name, value]): [string, string] =>
    name === "location" ? [name, ownPath(value, url)] : [name, value],
  );
  const send = (bytes: Bytes) => {
    counts.sentBytes += bytes.length;
    return stream.write(bytes);
  };
  const start = concat(connected, encodeHead({ status, headers, bodyBytes } satisfies HttpAnswerHead));
  if (bodiless) {
    await send(start);
    await response.body?.cancel();
    return;
  }
  if (bodyBytes !== null && bodyBytes <= httpSmallBodyBytesMax) {
    await send(concat(start, await lost(() => response.bytes())));
    return;
  }
  await send(start);
  const reader = response.body?.getReader();
  if (reader === undefined) return;
  try {
    for (;;) {
      const { done, value } = await lost(() => reader.read());
      if (done) return;
      await send(value);
    }
  } finally {
    await reader.cancel().catch(() => undefined); // the service's connection is not wanted any more
  }
}

/** A redirect to the service's own address stays at the address that the client uses. */
function ownPath(location: string, url: URL): string {
  const to = URL.parse(location);
  return to !== null && to.origin === url.origin ? `${to.pathname}${to.search}${to.hash}` : location;
}

/** What goes wrong while an answer is read is the service's. */
async function lost<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw asFault(cause, "system_unavailable", "the service's answer was cut");
  }
}

/** The far end ends the stream too, or is given up. */
async function lingering(clock: Clock, watched: Promise<void>, stream: MuxStream): Promise<void> {
  try {
    await withDeadline(clock, httpLingerMs, watched);
  } catch {
    stream.reset("closed"); // the answer is complete: nobody is told anything new
  }
}

async function withDeadline<T>(clock: Clock, timeoutMs: number, work: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>();
  const cancel = clock.after(timeoutMs, () => late.reject(new Fault("timeout", "not said in time")));
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    cancel();
    work.catch(() => undefined); // whoever gave up was told
  }
}
