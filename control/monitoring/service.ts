import type { Statement } from "#lib/runtime";
import type { Digest, DigestAnswer } from "#lib/session";
import type { SliceDeps } from "../api/index.ts";
import { type DemandReplica, type GatewayRow, touchReplica } from "../gateways/index.ts";
import { countRefusal } from "../openings/index.ts";
import { insertWarning } from "./agent-events.ts";
import { endStatements, openStatements } from "./digest-statements.ts";
import { mustEnd, sessionsOfNexus, silentReplicas } from "./repo.ts";
import { sessionJson } from "./rules.ts";

/** Sessions of one JSON list: a statement stays under a few hundred KiB. */
const listMax = 500;
/** A replica that was silent this long has no sessions any more: as its lease in the broker. */
const silentMs = 15_000;

export type MonitoringDeps = Pick<SliceDeps, "db" | "clock" | "newId" | "log">;

/** Takes what a replica tells; the answer names the agents whose sessions there must end. */
export async function takeDigest(
  deps: MonitoringDeps & { readonly demandReplica: DemandReplica },
  gateway: GatewayRow,
  digest: Digest,
): Promise<DigestAnswer> {
  await deps.demandReplica(gateway, digest.nexus);
  const { db, clock, newId } = deps;
  const now = clock.now();
  const set: Statement[] = [];
  for (const list of chunks(digest.sessions))
    set.push(
      ...openStatements(JSON.stringify(list.map((session) => sessionJson(session, newId("evt")))), digest.nexus, now),
    );
  const ended = [
    ...digest.ended.map((row) => ({ ...row, at: Math.min(row.at, now) })),
    ...(await unlisted(deps, digest)),
  ];
  for (const list of chunks(ended))
    set.push(...endStatements(JSON.stringify(list.map((row) => ({ ...row, eventId: newId("evt") }))), digest.nexus));
  const refused = digest.refusals.map(({ minute, sub, ...refusal }) =>
    countRefusal(db, {
      ...refusal,
      at: Math.max(now - 60_000, Math.min(minute, now)),
      subject: sub ?? "",
      verified: false,
    }),
  );
  await db.write(touchReplica(db, digest.nexus, now), ...set, ...refused);
  return { end: await mustEnd(db, digest.nexus, now) };
}

/** Sessions that a full digest no longer names. */
async function unlisted({ db, clock }: MonitoringDeps, digest: Digest) {
  if (!digest.full) return [];
  const named = new Set(digest.sessions.map(({ agentId, slot, epoch }) => `${agentId}/${slot}/${epoch}`));
  const rows = await sessionsOfNexus(db, digest.nexus);
  return rows
    .filter(({ agentId, slot, epoch }) => !named.has(`${agentId}/${slot}/${epoch}`))
    .map((row) => ({ ...row, at: clock.now(), code: "closed" }));
}

/** Ends the sessions of replicas that went silent: agents are offline since they were last heard. */
export async function endSilentReplicas(deps: MonitoringDeps): Promise<void> {
  const { db, clock, newId } = deps;
  for (const { identifier, seenAt } of await silentReplicas(db, clock.now() - silentMs)) {
    const rows = await sessionsOfNexus(db, identifier);
    const ended = rows.map((row) => ({ ...row, at: seenAt, code: "wire_lost", eventId: newId("evt") }));
    for (const list of chunks(ended)) await db.write(...endStatements(JSON.stringify(list), identifier));
  }
}

const failureWindowMs = 600_000;
/** Refusals within the window from which on a person should look. */
const failuresMany = 30;

/** Warns, once an hour at most, of agents that were refused many times in ten minutes, or that somebody claimed to be. */
export async function warnOfFailures({ db, clock }: Pick<MonitoringDeps, "db" | "clock">): Promise<void> {
  const now = clock.now();
  const rows = await db.read<{ agentId: string; count: number; addresses: number }>(
    `SELECT a.id AS agentId, sum(r.count) AS count, count(DISTINCT r.address) AS addresses
     FROM refusals r JOIN agents a ON a.id = r.subject OR a.identifier = r.subject
     WHERE r.minute > ? AND r.subject <> '' GROUP BY a.id HAVING sum(r.count) >= ? LIMIT 1000`,
    [now - failureWindowMs, failuresMany],
  );
  const warned = rows.map(({ agentId, count, addresses }) =>
    insertWarning(db, { agentId, at: now, kind: "many-failures", detail: { count, addresses } }),
  );
  if (warned.length > 0) await db.write(...warned);
}

function chunks<T>(items: readonly T[]): T[][] {
  const count = Math.ceil(items.length / listMax);
  return Array.from({ length: count }, (_, index) => items.slice(index * listMax, (index + 1) * listMax));
}
