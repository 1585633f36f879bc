import type { HttpHeaders } from "./http-head.ts";

/** Of one connection, not of the message (RFC 9110 §7.6.1), or made anew by whoever sends it on. */
const ofTheConnection = new Set([
  "connection",
  "content-length",
  "expect",
  "host",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** Say who asks: a client's own are worth nothing. `x_forwarded_for` counts, for services that take `_` for `-`. */
const ofTheAsker = /^(?:forwarded|x-forwarded-.*|x-real-ip)$/;
const ofTheHandshake = /^sec-websocket-/;

/** What of a message's header fields goes on to the next connection: not those that its `Connection` names either. */
export function endToEnd(headers: Iterable<readonly [string, string]>): [string, string][] {
  const all = [...headers].map(([name, value]): [string, string] => [name.toLowerCase(), value]);
  const named = new Set(
    all.flatMap(([name, value]) =>
      name === "connection" ? value.split(",").map((option) => option.trim().toLowerCase()) : [],
    ),
  );
  return all.filter(([name]) => !ofTheConnection.has(name) && !named.has(name));
}

/** A client's header fields as an inlet sends them on: without those that the inlet sets itself. */
export function ofTheClient(headers: Iterable<readonly [string, string]>, added: HttpHeaders): [string, string][] {
  const own = new Set(added.map(([name]) => sameName(name)));
  return endToEnd(headers).filter(
    ([name]) => !ofTheAsker.test(sameName(name)) && !ofTheHandshake.test(name) && !own.has(sameName(name)),
  );
}

const sameName = (name: string) => name.toLowerCase().replaceAll("_", "-");
