import type { Bytes } from "#lib/bytes";
import { type Clock, sleep } from "#lib/clock";
import { asFault, Fault } from "#lib/fault";
import { socketMessageBytesMax, socketQueuedBytesMax } from "#lib/limits";
import type { MuxStream } from "#lib/link";
import {
  type ByteSource,
  encodeHead,
  encodeSocketMessage,
  endToEnd,
  type HttpRequestHead,
  portalAnswer,
  socketMessages,
} from "#lib/portal";
import type { DesiredOutlet } from "#lib/session";
import type { SiteWay } from "../site/site-fetch.ts";
import type { SiteGuard } from "../site/site-guard.ts";
import type { PortalCounts } from "./portal-counts.ts";
import { sendable } from "./socket-close.ts";

/** How WebSockets to services are opened. */
export interface ServiceSockets {
  readonly site: Pick<SiteGuard, "allowConnect">;
  readonly wayTo: SiteWay;
}

/** The runtime's client takes options, and stops reading when it is told, which the DOM's type does not know. */
interface RuntimeSocket extends WebSocket {
  pause(): void;
  resume(): void;
  terminate(): void;
}
type RuntimeSocketClass = new (
  url: string,
  options: {
    perMessageDeflate: false;
    protocols?: string[];
    headers: Record<string, string>;
    tls?: { ca?: string[]; serverName?: string };
  },
) => RuntimeSocket;
const ServiceSocket = WebSocket as unknown as RuntimeSocketClass; // the same class, with the constructor it has here

const drainLookMs = 5;

interface AskedSocket {
  readonly url: URL;
  readonly head: HttpRequestHead;
  readonly protocols: readonly string[];
  readonly rest: Bytes;
  readonly source: ByteSource;
}

/** The serving end of a WebSocket: one to the service, its messages passed both ways. Rejects with the Fault of what failed. */
export async function serveSocket(
  stream: MuxStream,
  asked: AskedSocket,
  parts: {
    readonly clock: Clock;
    readonly sockets: ServiceSockets;
    readonly desired: DesiredOutlet;
    readonly counts: PortalCounts;
  },
): Promise<void> {
  const { clock, counts } = parts;
  const socket = await open(asked, parts);
  const closed = Promise.withResolvers<Fault | undefined>();
  let isClosed = false;
  let unsentBytes = 0;
  const send = (bytes: Bytes) => {
    unsentBytes += bytes.length;
    counts.sentBytes += bytes.length;
    if (unsentBytes > socketQueuedBytesMax) socket.pause();
    stream.write(bytes).then(
      () => {
        unsentBytes -= bytes.length;
        if (unsentBytes <= socketQueuedBytesMax / 2) socket.resume();
      },
      () => undefined, // its reader is told
    );
  };
  socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
    const message =
      typeof data === "string"
        ? ({ type: "text", text: data } as const)
        : ({ type: "binary", bytes: new Uint8Array(data) } as const);
    const bytes = encodeSocketMessage(message);
    if (bytes.length > socketMessageBytesMax) socket.close(1_009, "too large");
    else send(bytes);
  };
  socket.onclose = ({ code, reason }) => {
    isClosed = true;
    const said = sendable(code);
    if (said === undefined) {
      closed.resolve(new Fault("system_unavailable", "the service's WebSocket was lost"));
      return;
    }
    send(encodeSocketMessage({ type: "close", code: said, reason }));
    stream.end();
    closed.resolve(undefined);
  };
  const protocol = socket.protocol;
  send(new Uint8Array([portalAnswer.connected]));
  send(encodeHead({ status: 101, protocol }));
  const taking = (async () => {
    for await (const message of socketMessages(asked.rest, asked.source)) {
      if (isClosed) return;
      if (message.type === "close") {
        socket.close(message.code === 1_000 || message.code >= 3_000 ? message.code : 1_000, message.reason);
        return;
      }
      socket.send(message.type === "text" ? message.text : message.bytes);
      while (!isClosed && socket.bufferedAmount > socketQueuedBytesMax) await sleep(clock, drainLookMs);
    }
    if (!isClosed) socket.close(1_000, "");
  })();
  try {
    const fault = await Promise.race([closed.promise, taking.then(() => closed.promise)]);
    if (fault !== undefined) throw fault;
  } finally {
    taking.catch(() => undefined); // told by the race
    if (!isClosed) socket.terminate(); // the service learns that it was lost, not closed
  }
}

async function open(
  { url, head, protocols }: AskedSocket,
  {
    clock,
    sockets,
    desired,
  }: { readonly clock: Clock; readonly sockets: ServiceSockets; readonly desired: DesiredOutlet },
): Promise<RuntimeSocket> {
  const { host, port } = desired.target;
  const addresses = await sockets.site.allowConnect(host, port).catch((error: unknown) => {
    const fault = asFault(error, "internal");
    throw fault.code === "unavailable"
      ? new Fault("system_unavailable", "the service's name has no address", { cause: fault })
      : fault;
  });
  const headers = { ...Object.fromEntries(endToEnd(head.headers)), host: url.host };
  const { tls } = sockets.wayTo(url);
  let refused: unknown;
  for (const address of addresses) {
    const pinned = new URL(url);
    pinned.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    pinned.hostname = address.includes(":") ? `[${address}]` : address;
    const socket = new ServiceSocket(pinned.href, {
      perMessageDeflate: false,
      ...(protocols.length === 0 ? {} : { protocols: [...protocols] }),
      headers,
      tls: { ...tls, serverName: host },
    });
    socket.binaryType = "arraybuffer";
    try {
      await opened(socket, clock, desired.connectTimeoutMs);
      return socket;
    } catch (error) {
      refused = error;
    }
  }
  throw asFault(refused, "system_unavailable");
}

function opened(socket: WebSocket, clock: Clock, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(timeoutMs, () => {
      reject(new Fault("timeout", "the service did not open a WebSocket in time"));
      socket.close();
    });
    socket.onopen = () => {
      cancel();
      resolve();
    };
    socket.onclose = () => {
      cancel();
      // The runtime tells no more: refused connection and refused upgrade look the same.
      reject(new Fault("system_unavailable", "the service opened no WebSocket"));
    };
  });
}
