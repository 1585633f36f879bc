import { sql } from "drizzle-orm";
import { index, integer, primaryKey, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";
import { type InletTls, type PortalListen, type PortalTarget, portalModes, portalProtocols } from "#lib/session";
import { customers } from "../customers/tables.ts";
import { json, sealed, time } from "../db/index.ts";

export const portalEnds = ["inlet", "outlet"] as const;

/** What is open of a portal's HTTP: all but the headers that the inlet adds. */
export interface StoredHttp {
  readonly hosts: readonly string[];
  /** Names of the headers that the inlet adds; their values are sealed. */
  readonly headerNames: readonly string[];
  readonly tls: boolean;
  readonly answerTimeoutMs: number;
}

/** Of mode `tls`: whom the inlet takes for the service. */
export type StoredTls = Pick<InletTls, "pins" | "serverName">;

/** An inlet at one node joined to an outlet at others. */
export const portals = sqliteTable(
  "portals",
  {
    id: text().primaryKey(),
    customerId: text("customer_id")
      .notNull()
      .references(() => customers.id),
    name: text().notNull(),
    version: integer().notNull(),
    enabled: integer({ mode: "boolean" }).notNull(),
    mode: text({ enum: portalModes }).notNull(),
    protocol: text({ enum: portalProtocols }).notNull(),
    listen: json<PortalListen>().notNull(),
    target: json<PortalTarget>().notNull(),
    connectTimeoutMs: integer("connect_timeout_ms").notNull(),
    connectionsMax: integer("connections_max").notNull(),
    /** Decides who may open it; null = the nodes that it names. */
    policyId: text("policy_id"),
    /** Identifiers that the inlet accepts as its outlet, and that the outlet accepts; null = all nodes of the portal. */
    inletPins: json<string[]>("inlet_pins"),
    outletPins: json<string[]>("outlet_pins"),
    /** Null for other modes than `tls`. */
    tls: json<StoredTls>(),
    /** Null for TCP. */
    http: json<StoredHttp>(),
    /** Headers that the inlet adds, values included, for this version; null = none. */
    headers: sealed(),
    proxyProtocol: integer("proxy_protocol", { mode: "boolean" }).notNull(),
    createdAt: time("created_at").notNull(),
    createdBy: text("created_by").notNull(),
    updatedAt: time("updated_at").notNull(),
    updatedBy: text("updated_by").notNull(),
    deletedAt: time("deleted_at"),
  },
  (table) => [
    uniqueIndex("portals_by_name").on(table.customerId, table.name).where(sql`deleted_at IS NULL`),
    index("portals_by_customer").on(table.customerId, table.id),
    index("portals_by_policy").on(table.policyId),
  ],
);

/** The nodes of a portal, and how far their desired states have come. */
export const portalNodes = sqliteTable(
  "portal_nodes",
  {
    portalId: text("portal_id")
      .notNull()
      .references(() => portals.id),
    agentId: text("agent_id").notNull(),
    end: text({ enum: portalEnds }).notNull(),
    /** False: it was one, and its desired state has yet to say so. */
    wanted: integer({ mode: "boolean" }).notNull(),
    /** Version of the portal that its newest desired state was made of; 0 = none, or something that it names has changed. */
    statedVersion: integer("stated_version").notNull(),
    /** Version of the portal's policy in it; null = none. Only nodes that serve the portal hold it. */
    statedPolicy: integer("stated_policy"),
    /** Whether its desired state was made when the customer required `e2e`. */
    statedE2eOnly: integer("stated_e2e_only", { mode: "boolean" }).notNull().default(false),
    /** Identifier of the agent that the states of the others name. */
    identifier: text(),
  },
  (table) => [
    primaryKey({ columns: [table.portalId, table.agentId] }),
    index("portal_nodes_by_agent").on(table.agentId),
  ],
);
