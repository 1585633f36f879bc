import { createHash, type X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import type { Socket } from "bun";
import { Fault } from "#lib/fault";
import { BunTcpSocket, reasonOf, type SocketState, socketHandlers, type TcpSocket } from "./tcp.ts";

/** Whom to connect to (an address, no name), and which certificates it may show. */
export interface PinnedTls {
  readonly host: string;
  readonly port: number;
  /** Sent as SNI unless it is an address. */
  readonly serverName: string;
  /** `spki-sha256:` or `cert-sha256:` and 64 hex digits. */
  readonly pins: readonly string[];
  readonly timeoutMs: number;
}

/**
 * Connects over TLS 1.2 or later to a service whose own certificate, or its key, is pinned: no authority, name or date is asked. Not a byte
 * is said before that is checked. Faults: `identity_unexpected` for another certificate, `unavailable` (detail `reason`), `timeout`.
 */
export async function connectPinnedTls({ host, port, serverName, pins, timeoutMs }: PinnedTls): Promise<TcpSocket> {
  const opened = Promise.withResolvers<TcpSocket>();
  let raw: Socket<SocketState> | undefined;
  let isOver = false;
  const failed = (error: unknown) => {
    const reason = error === undefined ? "closed" : reasonOf(error);
    const fault = new Fault("unavailable", `no TLS connection (${reason})`, { detail: { host, port, reason } });
    opened.reject(error instanceof Fault ? error : fault);
  };
  const timer = setTimeout(() => opened.reject(new Fault("timeout", "no TLS connection in time")), timeoutMs);
  const connecting = Bun.connect<SocketState>({
    hostname: host,
    port,
    allowHalfOpen: true,
    data: { own: undefined },
    tls: { rejectUnauthorized: false, ...(isIP(serverName) === 0 ? { serverName } : {}) },
    socket: {
      ...socketHandlers,
      handshake(socket, success, error) {
        try {
          if (!success) throw error ?? new Fault("unavailable", "the TLS handshake failed");
          demandPinned(socket, pins);
        } catch (fault) {
          failed(fault);
          return;
        }
        const own = new BunTcpSocket(socket);
        socket.data = { own };
        opened.resolve(own);
      },
      close(socket, error) {
        failed(error); // no effect once it is open
        socketHandlers.close(socket, error);
      },
    },
  });
  connecting.then((socket) => {
    raw = socket;
    if (isOver) socket.terminate();
  }, failed);
  try {
    return await opened.promise;
  } catch (error) {
    isOver = true;
    raw?.terminate();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

function demandPinned(socket: Socket<SocketState>, pins: readonly string[]): void {
  const version = socket.getTLSVersion();
  if (version !== "TLSv1.2" && version !== "TLSv1.3") throw new Fault("unavailable", `the service speaks ${version}`);
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) throw new Fault("identity_unexpected", "the service shows no certificate");
  const shown = pinsOf(certificate);
  if (!shown.some((pin) => pins.includes(pin)))
    throw new Fault("identity_unexpected", `the service's certificate is not pinned: ${shown.join(" ")}`);
}

function pinsOf({ raw, publicKey }: X509Certificate): string[] {
  const digest = (der: Uint8Array) => createHash("sha256").update(der).digest("hex");
  return [`spki-sha256:${digest(publicKey.export({ type: "spki", format: "der" }))}`, `cert-sha256:${digest(raw)}`];
}
