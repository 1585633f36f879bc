import { z } from "zod";
import { asFault, Fault, isFaultCode } from "#lib/fault";
import type { Log } from "#lib/log";
import { type LocalSession, openLocalSession, paths, serveLocalSessions } from "#lib/runtime";
import { hostSchema, nameSchema } from "#lib/session";
import type { PortalHost } from "./portal-host.ts";

const requestSchema = z.strictObject({
  /** Name of a portal whose inlet is at this node. */
  outlet: nameSchema,
  /** Agent id, or (the beginning of) an identifier; undefined = any of the portal's. */
  node: nameSchema.optional(),
  listen: z.strictObject({ host: hostSchema, port: z.int().min(0).max(65_535) }),
});

const eventSchema = z.discriminatedUnion("type", [
  z.strictObject({
    type: z.literal("listening"),
    host: z.string(),
    port: z.int(),
    protocol: z.string(),
    /** Agents that it leads to. */
    agentIds: z.array(z.string()),
  }),
  /** A connection was refused or cut; `ended`: all of it has. */
  z.strictObject({ type: z.enum(["failed", "ended"]), code: z.string(), reason: z.string() }),
]);

export type TerminalRequest = z.infer<typeof requestSchema>;
export type TerminalEvent = z.infer<typeof eventSchema>;

const endpointOf = (dataDirectory: string) => paths.join(dataDirectory, "connect.sock");

/** Opens portals for the terminals of this user, as long as each stays: `mercury connect`. */
export function serveTerminals(dataDirectory: string, host: PortalHost, log: Log): Promise<AsyncDisposable> {
  return serveLocalSessions(endpointOf(dataDirectory), (session) => void serveTerminal(session, host, log));
}

async function serveTerminal(session: LocalSession, host: PortalHost, log: Log): Promise<void> {
  const tell = (event: TerminalEvent) => session.say(JSON.stringify(event));
  const ended = (fault: Fault) => {
    tell({ type: "ended", code: fault.code, reason: fault.message });
    session.end();
  };
  let asked = false;
  let close: () => void = () => undefined;
  // To its end, whatever is said: only that ends what was opened for it.
  for await (const line of session.lines()) {
    if (asked) continue; // there is one thing to ask
    asked = true;
    try {
      const request = requestOf(line);
      const opened = await host.connect(request, {
        failed: ({ code, message: reason }) => tell({ type: "failed", code, reason }),
        ended,
      });
      close = opened.close;
      const { protocol, agentIds } = opened.inlet.desired;
      tell({ type: "listening", host: request.listen.host, port: opened.inlet.port, protocol, agentIds });
      log.info("a terminal has a portal of its own", { portal: request.outlet, port: opened.inlet.port });
    } catch (error) {
      ended(asFault(error, "internal"));
    }
  }
  close();
  session.end();
}

function requestOf(line: string): TerminalRequest {
  try {
    return requestSchema.parse(JSON.parse(line));
  } catch (cause) {
    throw new Fault("malformed", "not a request of `mercury connect`", { cause });
  }
}

/** Asks the Mercury that runs on this data directory for a portal; what it says until it or the signal ends it. Fault `unavailable`. */
export async function* connectTerminal(
  dataDirectory: string,
  request: Omit<TerminalRequest, "node"> & { readonly node: string | undefined },
  signal: AbortSignal,
): AsyncGenerator<TerminalEvent> {
  const session = await openLocalSession(endpointOf(dataDirectory));
  if (session === undefined)
    throw new Fault("unavailable", `no Mercury runs on ${dataDirectory}; start it with \`mercury run\``);
  const end = () => session.end();
  signal.addEventListener("abort", end, { once: true });
  if (signal.aborted) end();
  try {
    const { node, ...asked } = request;
    session.say(JSON.stringify(node === undefined ? asked : { ...asked, node }));
    for await (const line of session.lines()) {
      const event = eventSchema.parse(JSON.parse(line));
      if (event.type === "ended") throw new Fault(isFaultCode(event.code) ? event.code : "internal", event.reason);
      yield event;
    }
  } finally {
    signal.removeEventListener("abort", end);
    session.end();
  }
}
