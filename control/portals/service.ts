import { Fault } from "#lib/fault";
import { portalsPerAgentMax } from "#lib/limits";
import type { DesiredPortal, OutletAnswer, RelayAnswer } from "#lib/session";
import { actorOf, demandCustomer, type Principal } from "../access/principal.ts";
import { type AgentRow, agentById } from "../agents/index.ts";
import { type Keep, keepNothing, type SliceDeps } from "../api/index.ts";
import { findCustomer } from "../customers/index.ts";
import { type Db, expecting, isDuplicate, isUnmet } from "../db/index.ts";
import { demandUsable, type PortalFacts, policyForOutlet, policyIsThere } from "../policies/index.ts";
import { type AddedHeaders, completeHeaders, openHeaders, sealHeaders } from "./added-headers.ts";
import {
  dropNodes,
  insertPortal,
  nodesAt,
  nodesOf,
  type PortalNodeRow,
  type PortalRow,
  portalById,
  portalsOfAgent,
  putNode,
  reachable,
  updatePortal,
} from "./repo.ts";
import { checkPortal, desiredPortal, isPermitted, type WantedHttp, type WantedPortal } from "./rules.ts";
import type { PortalStates } from "./states.ts";
import { portals, type StoredHttp } from "./tables.ts";

export interface PortalDeps extends Pick<SliceDeps, "db" | "audit" | "clock" | "newId" | "seals"> {
  readonly states: PortalStates;
}

/** A portal with its nodes. */
export interface Portal {
  readonly row: PortalRow;
  readonly nodes: readonly PortalNodeRow[];
}

/** The portal, if this key may see it. Fault `not_found`. */
export async function findPortal(deps: Pick<PortalDeps, "db">, by: Principal, id: string): Promise<Portal> {
  const row = await portalById(deps.db, id);
  if (row === undefined || row.deletedAt !== null) throw new Fault("not_found");
  demandCustomer(by, row.customerId);
  return { row, nodes: await nodesOf(deps.db, [id]) };
}

/** A new portal; its nodes learn it with their next desired state. Faults: `invalid` per field, `conflict` (name taken). */
export async function createPortal(
  deps: PortalDeps,
  by: Principal,
  { customerId, ...wanted }: WantedPortal & { readonly customerId: string },
  keep: Keep<Portal> = keepNothing,
): Promise<Portal> {
  await demandPermitted(deps, by, customerId, wanted);
  const nodes = await nodesFor(deps.db, customerId, wanted);
  const created = { createdAt: deps.clock.now(), createdBy: actorOf(by) };
  const headers = completeHeaders(wanted.http?.headers ?? {}, {}, false);
  const row = await rowOf(deps, by, { id: deps.newId("prt"), customerId, version: 1, ...created }, wanted, headers);
  const portal = { row, nodes: nodeRows(row, nodes) };
  await orTaken(
    deps.audit.record(
      eventOf(by, "portal.created", row),
      ...naming(deps.db, row),
      insertPortal(deps.db, row),
      ...portal.nodes.map((node) => putNode(deps.db, node)),
      ...(await keep(portal)),
    ),
  );
  await deps.states.settle({ portalId: row.id });
  return portal;
}

/** Replaces the definition; `version` is the one that is replaced (If-Match). Faults as `createPortal`, `not_found`. */
export async function changePortal(
  deps: PortalDeps,
  by: Principal,
  at: { readonly id: string; readonly version: number | undefined },
  wanted: WantedPortal,
): Promise<Portal> {
  const { row: former } = await findPortal(deps, by, at.id);
  const { id, customerId, createdAt, createdBy } = former;
  await demandPermitted(deps, by, customerId, wanted);
  const nodes = await nodesFor(deps.db, customerId, wanted);
  const version = at.version ?? former.version;
  const headers = completeHeaders(
    wanted.http?.headers ?? {},
    await openHeaders(deps.seals, former),
    leadsElsewhere(await findPortal(deps, by, at.id), wanted),
  );
  const row = await rowOf(deps, by, { id, customerId, version: version + 1, createdAt, createdBy }, wanted, headers);
  const portal = { row, nodes: nodeRows(row, nodes) };
  const kept = nodes.map(({ agent }) => agent.id);
  await orChanged(
    deps.audit.record(
      eventOf(by, "portal.changed", row),
      expecting(1, updatePortal(deps.db, row, version)),
      ...naming(deps.db, row),
      dropNodes(deps.db, id, kept),
      ...portal.nodes.map((node) => putNode(deps.db, node)),
    ),
  );
  await deps.states.settle({ portalId: id });
  return portal;
}

/** Ends a portal at all its nodes. Faults `not_found`, `conflict`. */
export async function deletePortal(
  deps: PortalDeps,
  by: Principal,
  at: { readonly id: string; readonly version: number | undefined },
): Promise<void> {
  const { row: former } = await findPortal(deps, by, at.id);
  const version = at.version ?? former.version;
  const now = deps.clock.now();
  const ended = { headers: null, updatedAt: now, updatedBy: actorOf(by), deletedAt: now };
  const row = { ...former, version: version + 1, ...ended };
  await orChanged(
    deps.audit.record(
      eventOf(by, "portal.deleted", row),
      expecting(1, updatePortal(deps.db, row, version)),
      dropNodes(deps.db, row.id, []),
    ),
  );
  await deps.states.settle({ portalId: row.id });
}

/** The ends of portals that an agent runs, for its desired state. */
export async function desiredPortalsOf(
  { db, seals }: Pick<SliceDeps, "db" | "seals">,
  agentId: string,
): Promise<DesiredPortal[]> {
  const ends = await portalsOfAgent(db, agentId);
  const desired = await Promise.all(
    ends.map(async ({ portal, node, requireE2e }) => {
      if (!isPermitted(portal, { requireE2e })) return undefined;
      const others = await nodesAt(db, portal.id, node.end === "inlet" ? "outlet" : "inlet");
      return desiredPortal(portal, node.end, others, node.end === "inlet" ? await openHeaders(seals, portal) : {});
    }),
  );
  return desired.flatMap((portal) => portal ?? []);
}

/** A portal as policies see it. Fault `not_found` when this key may not see it. */
export async function portalFacts(db: Db, by: Principal, portalId: string): Promise<PortalFacts> {
  const { row, nodes } = await findPortal({ db }, by, portalId);
  const { id: portal, name, protocol: kind, target, policyId, customerId } = row;
  const inlets = await nodesAt(db, portalId, "inlet");
  const resource = { portal, name, kind, target, nodes: inlets.map(({ identifier }) => identifier) };
  const outletAgentIds = nodes.filter(({ end }) => end === "outlet").map(({ agentId }) => agentId);
  return { policyId, customerId, resource, outletAgentIds };
}

/** Whose node `to` is, for a wire from `agent`. Faults: `not_found` for none of its customer, `forbidden` where no portal joins the two. */
export async function relayTo(db: Db, agent: AgentRow, to: string): Promise<RelayAnswer> {
  const found = await reachable(db, agent.id, agent.customerId, to);
  if (found === undefined) throw new Fault("not_found");
  if (!found.joined) throw new Fault("forbidden", "no portal joins the two nodes");
  return { agentId: found.agentId, customerId: agent.customerId };
}

/**
 * Where a connection of `agent`'s inlet leads that ends in Nexus. Faults: `not_found` for no portal with an inlet there, or one that is
 * switched off; `forbidden` for one of another mode, where the customer requires `e2e`, or whose policy is gone.
 */
export async function outletOf(db: Db, agent: AgentRow, portalId: string): Promise<OutletAnswer> {
  const end = (await portalsOfAgent(db, agent.id)).find(({ portal }) => portal.id === portalId);
  if (
    end === undefined ||
    end.node.end !== "inlet" ||
    end.portal.customerId !== agent.customerId ||
    !end.portal.enabled
  )
    throw new Fault("not_found");
  const { portal, requireE2e } = end;
  const { customerId, name, mode, protocol, target, connectTimeoutMs, connectionsMax, policyId } = portal;
  if (mode !== "terminated") throw new Fault("forbidden", "the portal is of another mode");
  if (!isPermitted(portal, { requireE2e })) throw new Fault("forbidden", "the customer requires e2e");
  const policy = policyId === null ? null : await policyForOutlet(db, policyId);
  const nodes = agent.identifier === null ? [] : [agent.identifier];
  return { customerId, name, mode, protocol, target, connectTimeoutMs, connectionsMax, nodes, policy };
}

/** Fault `invalid` at `mode` for one that the customer does not allow; `not_found` when this key may not see the customer. */
async function demandPermitted(
  deps: Pick<PortalDeps, "db">,
  by: Principal,
  customerId: string,
  { mode }: WantedPortal,
): Promise<void> {
  if (isPermitted({ mode }, await findCustomer(deps, by, customerId))) return;
  throw new Fault("invalid", undefined, { detail: { mode: "this customer requires e2e" } });
}

interface WantedNode {
  readonly agent: AgentRow;
  readonly end: PortalNodeRow["end"];
}

/** The agents that a portal names. Fault `invalid` at the field for one that is not of the customer, is revoked or has no room. */
async function nodesFor(db: Db, customerId: string, wanted: WantedPortal): Promise<WantedNode[]> {
  checkPortal(wanted);
  if (wanted.policyId !== null) await demandUsable(db, customerId, wanted.policyId);
  const named = [
    { path: "inlet.agentId", id: wanted.inlet.agentId, end: "inlet" as const },
    ...wanted.outlet.agentIds.map((id, index) => ({ path: `outlet.agentIds.${index}`, id, end: "outlet" as const })),
  ];
  const wrong: Record<string, string> = {};
  const nodes: WantedNode[] = [];
  for (const { path, id, end } of named) {
    const agent = await agentById(db, id);
    if (agent === undefined || agent.customerId !== customerId) wrong[path] = "no such agent of this customer";
    else if (agent.revokedAt !== null) wrong[path] = "this agent is revoked";
    else if ((await portalsOfAgent(db, id)).length >= portalsPerAgentMax)
      wrong[path] = `has part in ${portalsPerAgentMax} portals`;
    else nodes.push({ agent, end });
  }
  if (Object.keys(wrong).length > 0) throw new Fault("invalid", undefined, { detail: wrong });
  return nodes;
}

async function rowOf(
  deps: PortalDeps,
  by: Principal,
  fixed: Pick<PortalRow, "id" | "customerId" | "version" | "createdAt" | "createdBy">,
  { inlet, outlet, http, ...wanted }: WantedPortal,
  headers: AddedHeaders,
): Promise<PortalRow> {
  const { target, connectTimeoutMs, tls = null } = outlet;
  const pins = { inletPins: inlet.pins, outletPins: outlet.pins, tls };
  const updated = { updatedAt: deps.clock.now(), updatedBy: actorOf(by), deletedAt: null };
  const sealed = await sealHeaders(deps.seals, fixed, headers);
  const carried = { http: storedHttp(http, Object.keys(headers)), headers: sealed };
  return { ...fixed, ...wanted, ...carried, ...pins, listen: inlet.listen, target, connectTimeoutMs, ...updated };
}

function storedHttp(http: WantedHttp | undefined, headerNames: readonly string[]): StoredHttp | null {
  if (http === undefined) return null;
  const { hosts, tls, answerTimeoutMs } = http;
  return { hosts, headerNames, tls, answerTimeoutMs };
}

/** Else whoever may configure, and may not read, could have a stored value sent to a service of theirs. */
function leadsElsewhere({ row, nodes }: Portal, { outlet, http, protocol }: WantedPortal): boolean {
  const { host, port } = row.target;
  const former = nodes.filter(({ end }) => end === "outlet").map(({ agentId }) => agentId);
  return (
    protocol !== row.protocol ||
    host !== outlet.target.host ||
    port !== outlet.target.port ||
    (row.http?.tls ?? false) !== (http?.tls ?? false) ||
    outlet.agentIds.some((agentId) => !former.includes(agentId))
  );
}

function nodeRows({ id }: PortalRow, nodes: readonly WantedNode[]): PortalNodeRow[] {
  return nodes.map(({ agent, end }) => ({
    portalId: id,
    agentId: agent.id,
    end,
    wanted: true,
    statedVersion: 0,
    statedPolicy: null,
    statedE2eOnly: false,
    identifier: agent.identifier,
  }));
}

/** The policy that it names is still there when the write is done. */
const naming = (db: Db, { policyId }: PortalRow) =>
  policyId === null ? [] : [expecting(1, policyIsThere(db, policyId))];

function eventOf(by: Principal, action: string, { id, customerId, name, version, mode, policyId }: PortalRow) {
  return { actor: actorOf(by), action, subject: id, customerId, detail: { name, version, mode, policyId } };
}

async function orTaken<T>(written: Promise<T>): Promise<T> {
  try {
    return await written;
  } catch (error) {
    if (!isDuplicate(error, portals.name)) throw error;
    throw new Fault("conflict", "a portal of this name exists", { cause: error });
  }
}

async function orChanged<T>(written: Promise<T>): Promise<T> {
  try {
    return await orTaken(written);
  } catch (error) {
    if (!isUnmet(error, 0)) throw error;
    throw new Fault("conflict", "changed by someone else in between: read it again", { cause: error });
  }
}
