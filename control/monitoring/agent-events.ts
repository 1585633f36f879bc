import type { AuditDetail } from "../audit/index.ts";
import type { Db, Query } from "../db/index.ts";
import { agentEvents } from "./tables.ts";

/** What can change about an agent, or be worth a warning. */
export type AgentEventKind =
  | "enrolled"
  | "online"
  | "offline"
  | "address-changed"
  | "version-changed"
  | "plugin-changed"
  | "copy-seen"
  | "token-reused"
  | "clock-wrong"
  | "many-failures"
  | "node-warning";

const warnings: ReadonlySet<string> = new Set<AgentEventKind>([
  "address-changed",
  "copy-seen",
  "token-reused",
  "clock-wrong",
  "many-failures",
  "node-warning",
]);

/** Whether an event of this kind is for a person to look at. */
export const isWarning = (kind: string) => warnings.has(kind);

/** Adds an event to an agent's history. */
export const insertAgentEvent = (
  db: Db,
  event: { id: string; agentId: string; at: number; kind: AgentEventKind; detail?: AuditDetail },
): Query => db.query.insert(agentEvents).values({ ...event, detail: event.detail ?? {} });

const hourMs = 3_600_000;

/** A warning, at most once per agent, kind and hour: what repeats itself is counted elsewhere. */
export const insertWarning = (
  db: Db,
  event: { agentId: string; at: number; kind: AgentEventKind; detail?: AuditDetail },
): Query =>
  db.query
    .insert(agentEvents)
    .values({
      id: `${event.kind}.${Math.floor(event.at / hourMs)}.${event.agentId}`,
      ...event,
      detail: event.detail ?? {},
    })
    .onConflictDoNothing();
