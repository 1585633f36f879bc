import { index, integer, primaryKey, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";
import type { Attributes } from "#lib/statement";
import { customers, licences } from "../customers/tables.ts";
import { bytes, json, time } from "../db/index.ts";

/** What to do when a copied or restored store shows itself (PROTOCOL §6). */
export const copyPolicies = ["reject", "replace", "hold"] as const;
export type CopyPolicy = (typeof copyPolicies)[number];
export const agentRoles = ["edge", "gateway", "service"] as const;

/** A Mercury as the customer knows it. Its identity may be replaced by a reissue; its id stays. */
export const agents = sqliteTable(
  "agents",
  {
    id: text().primaryKey(),
    customerId: text("customer_id")
      .notNull()
      .references(() => customers.id),
    licenceId: text("licence_id")
      .notNull()
      .references(() => licences.id),
    name: text().notNull(),
    role: text({ enum: agentRoles }).notNull(),
    attributes: json<Attributes>().notNull(),
    copyPolicy: text("copy_policy", { enum: copyPolicies }).notNull(),
    /** The identity that counts; null before the first enrollment. */
    identifier: text(),
    /** Since when both copies wait for a person. */
    heldAt: time("held_at"),
    createdAt: time("created_at").notNull(),
    createdBy: text("created_by").notNull(),
    revokedAt: time("revoked_at"),
    revokedReason: text("revoked_reason"),
    version: integer().notNull(),
  },
  (table) => [
    uniqueIndex("agents_by_name").on(table.customerId, table.name),
    index("agents_by_identifier").on(table.identifier),
    index("agents_by_licence").on(table.licenceId),
    index("agents_by_revocation").on(table.revokedAt),
  ],
);

/** Every identity that was ever enrolled. One belongs to one agent for ever. */
export const agentIdentities = sqliteTable(
  "agent_identities",
  {
    identifier: text().primaryKey(),
    agentId: text("agent_id")
      .notNull()
      .references(() => agents.id),
    tokenId: text("token_id").notNull(),
    chain: bytes().notNull(),
    /** The last change: its hash and X25519 key. */
    kid: text().notNull(),
    x25519: bytes().notNull(),
    /** The change before, honoured until the last one was used once; then null. */
    formerKid: text("former_kid"),
    formerX25519: bytes("former_x25519"),
    /** Name in KMS, and public half, of Solaris' key for this agent and identity alone. */
    kmsKey: text("kms_key").notNull(),
    solarisKey: bytes("solaris_key").notNull(),
    enrolledAt: time("enrolled_at").notNull(),
    /** When its first tunnel was ready: from then on its token answers nobody. */
    openedAt: time("opened_at"),
    expiresAt: time("expires_at").notNull(),
    revokedAt: time("revoked_at"),
    revokedReason: text("revoked_reason"),
    version: integer().notNull(),
  },
  (table) => [
    index("agent_identities_by_agent").on(table.agentId),
    index("agent_identities_by_revocation").on(table.revokedAt),
  ],
);

/** Tokens and what became of them: how an agent came to be trusted. */
export const enrollmentTokens = sqliteTable(
  "enrollment_tokens",
  {
    id: text().primaryKey(),
    agentId: text("agent_id")
      .notNull()
      .references(() => agents.id),
    secretHash: text("secret_hash").notNull(),
    createdAt: time("created_at").notNull(),
    createdBy: text("created_by").notNull(),
    expiresAt: time("expires_at").notNull(),
    /** Whether redeeming it revokes the agent's former identity. */
    reissue: integer({ mode: "boolean" }).notNull(),
    cancelledAt: time("cancelled_at"),
    redeemedAt: time("redeemed_at"),
    redeemedBy: text("redeemed_by"),
    address: text(),
    hostname: text(),
    version: text(),
    platform: text(),
  },
  (table) => [index("enrollment_tokens_by_agent").on(table.agentId, table.createdAt)],
);

/** One tunnel slot of an agent: newest epoch and continuity value, and the pair before it (PROTOCOL §6). */
export const agentSlots = sqliteTable(
  "agent_slots",
  {
    agentId: text("agent_id")
      .notNull()
      .references(() => agents.id),
    slot: integer().notNull(),
    identifier: text().notNull(),
    epoch: integer().notNull(),
    continuity: bytes().notNull(),
    /** The value before: accepted until `ready` for the newest; null afterwards, and before the second. */
    formerContinuity: bytes("former_continuity"),
    readyAt: time("ready_at"),
    openedAt: time("opened_at").notNull(),
    nexus: text().notNull(),
  },
  (table) => [primaryKey({ columns: [table.agentId, table.slot] })],
);
