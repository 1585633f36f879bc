import type { Statement } from "#lib/runtime";
import { probeLifeMs } from "./rules.ts";

/**
 * A digest as statements over JSON lists, so that thousands of sessions are a handful of statements. `believed` keeps only
 * sessions that Solaris itself gave to this replica: a Nexus can't speak for agents it was not asked by.
 */
const believed = `FROM json_each(?) AS row
  JOIN agent_slots AS slot ON slot.agent_id = row.value->>'agentId' AND slot.slot = row.value->>'slot'
    AND slot.nexus = ? AND slot.epoch = row.value->>'epoch'`;

const field = (name: string) => `row.value->>'${name}'`;

/** What a digest repeats is no new probe. */
const isProbe = "excluded.health_at IS NOT NULL AND excluded.health_at IS NOT health_at";
/** Whether the probe before still counted when this one came. */
const isFresh = `excluded.last_seen_at <= probed_at + ${probeLifeMs}`;
/** How long it was well, at `at` or when the last probe lost its worth. */
const wellUntil = (at: string) => `max(0, min(${at}, probed_at + ${probeLifeMs}) - well_since)`;

/** Sessions that are open: history of what changed, presence, then the sessions. */
export function openStatements(list: string, nexus: string, nowMs: number): Statement[] {
  const isNew = `NOT EXISTS (SELECT 1 FROM sessions WHERE sessions.agent_id = slot.agent_id AND sessions.slot = slot.slot
    AND sessions.epoch = slot.epoch)`;
  return [
    event(
      "online",
      "json_object('address', row.value->>'address')",
      "",
      "NOT EXISTS (SELECT 1 FROM agent_presence p WHERE p.agent_id = slot.agent_id AND p.online = 1)",
    ),
    event(
      "address-changed",
      `json_object('from', p.address, 'to', ${field("address")})`,
      presence,
      `p.address <> ${field("address")} AND ${isNew}`,
    ),
    event(
      "version-changed",
      `json_object('from', p.version, 'to', ${field("version")})`,
      presence,
      `p.version <> ${field("version")} AND ${isNew}`,
    ),
    event(
      "plugin-changed",
      `json_object('plugins', ${field("pluginStates")})`,
      presence,
      `p.plugin_states IS NOT ${field("pluginStates")} AND ${field("healthAt")} IS NOT NULL`,
    ),
    {
      sql: `INSERT INTO agent_presence (agent_id, online, since, last_seen_at, address, version, platform, hostname, well,
          well_since, well_ms, probed_at, health_at, desired, plugins, plugin_states)
        SELECT slot.agent_id, 1, ?, ?, ${field("address")}, ${field("version")}, ${field("platform")}, ${field("hostname")},
          coalesce(${field("well")}, 0), ?, 0, CASE WHEN ${field("healthAt")} IS NULL THEN NULL ELSE ? END, ${field("healthAt")}, ${field("desired")}, ${field("plugins")}, ${field("pluginStates")}
        ${believed} WHERE true
        ON CONFLICT (agent_id) DO UPDATE SET since = CASE WHEN online = 1 THEN since ELSE excluded.since END, online = 1,
          last_seen_at = excluded.last_seen_at, address = excluded.address, version = excluded.version,
          platform = excluded.platform, hostname = excluded.hostname,
          well_ms = well_ms + CASE WHEN ${isProbe} AND well = 1 AND NOT (excluded.well = 1 AND ${isFresh}) THEN ${wellUntil("excluded.last_seen_at")} ELSE 0 END,
          well_since = CASE WHEN ${isProbe} AND NOT (well = 1 AND excluded.well = 1 AND ${isFresh}) THEN excluded.last_seen_at ELSE well_since END,
          well = CASE WHEN ${isProbe} THEN excluded.well ELSE well END,
          probed_at = CASE WHEN ${isProbe} THEN excluded.last_seen_at ELSE probed_at END,
          health_at = coalesce(excluded.health_at, health_at), desired = coalesce(excluded.desired, desired),
          plugins = coalesce(excluded.plugins, plugins), plugin_states = coalesce(excluded.plugin_states, plugin_states)`,
      params: [nowMs, nowMs, nowMs, nowMs, list, nexus],
    },
    {
      sql: `INSERT INTO sessions (agent_id, slot, epoch, nexus, address, since, seen_at, version, platform, hostname,
          rtt_last_ms, rtt_p50_ms, rtt_p99_ms, bytes_up, bytes_down)
        SELECT slot.agent_id, slot.slot, slot.epoch, ?, ${field("address")}, ${field("since")}, ?, ${field("version")},
          ${field("platform")}, ${field("hostname")}, ${field("rttLast")}, ${field("rttP50")}, ${field("rttP99")},
          ${field("bytesUp")}, ${field("bytesDown")}
        ${believed} WHERE true
        ON CONFLICT (agent_id, slot) DO UPDATE SET epoch = excluded.epoch, nexus = excluded.nexus,
          address = excluded.address, since = excluded.since, seen_at = excluded.seen_at, version = excluded.version,
          platform = excluded.platform, hostname = excluded.hostname, rtt_last_ms = excluded.rtt_last_ms,
          rtt_p50_ms = excluded.rtt_p50_ms, rtt_p99_ms = excluded.rtt_p99_ms, bytes_up = excluded.bytes_up,
          bytes_down = excluded.bytes_down
        WHERE excluded.epoch >= sessions.epoch`,
      params: [nexus, nowMs, list, nexus],
    },
  ];

  function event(kind: string, detail: string, join: string, when: string): Statement {
    return {
      sql: `INSERT INTO agent_events (id, agent_id, at, kind, detail)
        SELECT ${field("eventId")} || '.${kind}', slot.agent_id, ?, '${kind}', ${detail} ${believed} ${join} WHERE ${when}
        ON CONFLICT DO NOTHING`,
      params: [nowMs, list, nexus],
    };
  }
}

const presence = "JOIN agent_presence AS p ON p.agent_id = slot.agent_id";

/** Sessions of a replica that are open no more: `rows` is a JSON list of {agentId, slot, epoch, at, code, eventId}. */
export function endStatements(rows: string, nexus: string): Statement[] {
  const offline = `NOT EXISTS (SELECT 1 FROM sessions WHERE sessions.agent_id = p.agent_id)`;
  return [
    {
      sql: `DELETE FROM sessions WHERE nexus = ? AND EXISTS (SELECT 1 FROM json_each(?) AS row
        WHERE sessions.agent_id = ${field("agentId")} AND sessions.slot = ${field("slot")} AND sessions.epoch <= ${field("epoch")})`,
      params: [nexus, rows],
    },
    {
      sql: `INSERT INTO agent_events (id, agent_id, at, kind, detail)
        SELECT ${field("eventId")} || '.offline', p.agent_id, ${field("at")}, 'offline', json_object('code', ${field("code")})
        FROM json_each(?) AS row JOIN agent_presence AS p ON p.agent_id = ${field("agentId")}
        WHERE p.online = 1 AND ${offline} ON CONFLICT DO NOTHING`,
      params: [rows],
    },
    {
      sql: `UPDATE agent_presence AS p SET online = 0, since = max(p.since, ended.at), last_seen_at = max(p.last_seen_at, ended.at),
          well = 0, well_ms = p.well_ms + CASE WHEN p.well = 1 THEN ${wellUntil("ended.at")} ELSE 0 END
        FROM (SELECT ${field("agentId")} AS agent_id, max(${field("at")}) AS at FROM json_each(?) AS row GROUP BY 1) AS ended
        WHERE ended.agent_id = p.agent_id AND p.online = 1 AND ${offline}`,
      params: [rows],
    },
  ];
}
