import { lookup } from "node:dns/promises";
import { connect as connectTcp, isIP } from "node:net";
import { connect as connectTls } from "node:tls";
import { Fault } from "#lib/fault";

/** IP addresses of a host name, as the system resolves it. Fault `unavailable` when there are none. */
export async function resolveHost(name: string): Promise<string[]> {
  try {
    return (await lookup(name, { all: true })).map(({ address }) => address);
  } catch (cause) {
    throw new Fault("unavailable", "the name has no address", { detail: { name }, cause });
  }
}

/** Opens and closes a TCP connection; resolves with how long it took, ms. Fault `unavailable` or `timeout`. */
export function probeTcp(host: string, port: number, timeoutMs = 10_000): Promise<number> {
  return probe(host, port, timeoutMs, () => connectTcp({ host, port }), "connect");
}

/**
 * Opens and closes a TLS connection whose certificate must be valid for `host`; `ca`: PEM texts trusted besides the system's.
 * Resolves with how long it took, ms. Fault `unavailable` (detail `reason`: OpenSSL's code) or `timeout`.
 */
export function probeTls(
  host: string,
  port: number,
  options: { ca?: readonly string[]; timeoutMs?: number } = {},
): Promise<number> {
  const { ca, timeoutMs = 10_000 } = options;
  const settings = {
    host,
    port,
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...(ca === undefined ? {} : { ca: [...ca] }),
  };
  return probe(host, port, timeoutMs, () => connectTls(settings), "secureConnect");
}

function probe(
  host: string,
  port: number,
  timeoutMs: number,
  open: () => ReturnType<typeof connectTcp>,
  ready: string,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const begun = performance.now();
    const socket = open();
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new Fault("timeout", "no connection in time", { detail: { host, port } }));
    }, timeoutMs);
    socket.once(ready, () => {
      clearTimeout(timer);
      socket.destroy();
      resolve(performance.now() - begun);
    });
    socket.once("error", (cause: Error) => {
      clearTimeout(timer);
      const reason = "code" in cause && typeof cause.code === "string" ? cause.code : "unknown";
      reject(new Fault("unavailable", "no connection", { detail: { host, port, reason }, cause }));
    });
  });
}
