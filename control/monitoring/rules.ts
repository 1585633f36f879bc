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
    well: health === undefined ? null : Number(health.plugins.every(({ ok }) => ok)),
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

/** A node tells of its probes every 15 s: once three are missing, the last one proves nothing any more. */
export const probeLifeMs = 45_000;

/** What probes along the data's path have shown. */
export interface Probed {
  readonly well: boolean;
  readonly wellSince: number;
  readonly wellMs: number;
  readonly probedAt: number | null;
}

/** Share of the time since enrollment in which the probe along the data's path succeeded (DESIGN §7), 0 … 1; null before enrollment. */
export function availability(
  { well, wellSince, wellMs, probedAt }: Probed,
  enrolledAt: number | null,
  nowMs: number,
): number | null {
  if (enrolledAt === null || nowMs <= enrolledAt) return null;
  const present = well && probedAt !== null ? Math.max(0, Math.min(nowMs, probedAt + probeLifeMs) - wellSince) : 0;
  return Math.min(1, (wellMs + present) / (nowMs - enrolledAt));
}
