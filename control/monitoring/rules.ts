import type { OpenSession, PluginHealth } from "#lib/session";

/** A session as the statements of a digest take it: one JSON object of a list. */
export function sessionJson(session: OpenSession, eventId: string) {
  const { health, rttMs, ...facts } = session;
  return {
    ...facts,
    eventId,
    rttLast: rttMs?.last ?? null,
    rttP50: rttMs?.p50 ?? null,
    rttP99: rttMs?.p99 ?? null,
    healthAt: health?.at ?? null,
    desired: health?.desired ?? null,
    plugins: health === undefined ? null : JSON.stringify(health.plugins),
    pluginStates: health === undefined ? null : pluginStates(health.plugins),
  };
}

/** `erp: ok, files: failing`, sorted: differs exactly when a plugin came, went, failed or recovered. */
export function pluginStates(plugins: readonly Pick<PluginHealth, "plugin" | "ok">[]): string {
  return [...plugins]
    .sort((a, b) => (a.plugin < b.plugin ? -1 : 1))
    .map(({ plugin, ok }) => `${plugin}: ${ok ? "ok" : "failing"}`)
    .join(", ")
    .slice(0, 2_000);
}

/** Share of the time since enrollment in which the agent was online, 0 … 1; null before the first time. */
export function availability(
  presence: { readonly online: boolean; readonly since: number; readonly onlineMs: number },
  enrolledAt: number | null,
  nowMs: number,
): number | null {
  if (enrolledAt === null || nowMs <= enrolledAt) return null;
  const onlineMs = presence.onlineMs + (presence.online ? nowMs - presence.since : 0);
  return Math.min(1, onlineMs / (nowMs - enrolledAt));
}
