import type { Bytes } from "#lib/bytes";
import { asFault, Fault } from "#lib/fault";
import type { Link } from "#lib/link";
import { AnswerReader, encodeOpening, type Joined, joinSocket, type PortalOpening, socketStream } from "#lib/portal";
import { connectPinnedTls, type TcpSocket } from "#lib/runtime";
import type { DesiredInlet, InletTls } from "#lib/session";
import type { SiteGuard } from "../site/site-guard.ts";
import { acceptedNodes } from "./pinned-nodes.ts";
import type { StreamOpener } from "./stream-opener.ts";

export interface ReachParts {
  readonly site: Pick<SiteGuard, "allowConnect">;
  readonly opener: StreamOpener;
  /** The tunnel that is open. Fault `offline` when none is. */
  readonly nexus: () => Pick<Link, "open">;
}

/** How a connection of an inlet went; not `connected`: the service never took it. */
export type Reached = Joined & { readonly connected: boolean };

/** Has one connection of an inlet go where its mode says, and nowhere else. Rejects with the Fault of what could not be opened. */
export function reach(desired: DesiredInlet, socket: TcpSocket, parts: ReachParts): Promise<Reached> {
  const ends = socket.remote.port === 0 ? {} : { from: socket.remote, to: socket.local };
  const opening = { portal: desired.id, ...ends };
  switch (desired.mode) {
    case "e2e":
      return toNode(desired, opening, socket, parts);
    case "terminated":
      return toNexus(opening, socket, parts);
    case "tls":
      return overTls(desired.tls, socket, parts);
  }
}

async function toNode(
  desired: DesiredInlet,
  opening: PortalOpening,
  socket: TcpSocket,
  { opener }: ReachParts,
): Promise<Reached> {
  const { stream, answer, first } = await opener.open(acceptedNodes(desired), opening);
  const received = (bytes: Bytes) => answer.take(bytes);
  const joined = await joinSocket(stream, socket, { first, received });
  return { ...joined, connected: answer.state === "connected" };
}

/** The stream ends in Nexus, on the session's own channel: Nexus reads what goes through. */
async function toNexus(opening: PortalOpening, socket: TcpSocket, { nexus }: ReachParts): Promise<Reached> {
  const stream = nexus().open();
  const answer = new AnswerReader();
  void stream.write(encodeOpening(opening)).catch(() => undefined); // its reader is told
  const joined = await joinSocket(stream, socket, { received: (bytes) => answer.take(bytes) });
  return { ...joined, connected: answer.state === "connected" };
}

/** Goes to the very address that the site's list allowed. */
async function overTls(tls: InletTls | undefined, socket: TcpSocket, { site }: ReachParts): Promise<Reached> {
  if (tls === undefined) throw new Fault("config", "a portal of mode tls that does not say where to");
  const { target, pins, serverName = target.host, connectTimeoutMs: timeoutMs } = tls;
  const addresses = await site.allowConnect(target.host, target.port).catch((error: unknown) => {
    throw unreachable(error, `${target.host} has no address`);
  });
  let refused: unknown;
  for (const host of addresses) {
    try {
      const far = await connectPinnedTls({ host, port: target.port, serverName, pins, timeoutMs });
      return { ...(await joinSocket(socketStream(far), socket)), connected: true };
    } catch (error) {
      refused = error;
    }
  }
  throw unreachable(refused, `${target.host}:${target.port}: ${asFault(refused, "unavailable").message}`);
}

/** The service's fault is told as such; what the site or the pin refuses stays what it is. */
function unreachable(error: unknown, text: string): Fault {
  const fault = asFault(error, "internal");
  return fault.code === "unavailable" ? new Fault("system_unavailable", text, { cause: fault }) : fault;
}
