import { base64url } from "#lib/bytes";
import { Fault } from "#lib/fault";
import type { VerifiedIdentity } from "#lib/identity";
import type { NamedIdentity, PluginSeal } from "#lib/session";
import type { Db } from "../db/index.ts";
import type { Messenger } from "../messenger/index.ts";
import type { WantedPlugin } from "./rules.ts";
import type { SealSettings } from "./tables.ts";

/**
 * How a plugin is sealed; null = not. Fault `invalid` at what does not go together: a schema of what nobody here can read, settings of
 * a switch that is off.
 */
export function sealSettings({ sealed, sealing, receiveSchema }: WantedPlugin): SealSettings | null {
  if (!sealed && sealing !== undefined) throw wrong("sealing", "only with `sealed`");
  if (sealed && (receiveSchema ?? null) !== null)
    throw wrong("receiveSchema", "not with `sealed`: what comes up can't be read on its way");
  return sealed ? { senders: sealing?.senders ?? [], consumer: sealing?.consumer ?? null } : null;
}

/** Fault `invalid` unless all that are named are enrolled services of this customer. */
export async function checkSealing(db: Db, customerId: string, settings: SealSettings | null): Promise<void> {
  if (settings === null) return;
  const known = await identitiesOf(db, customerId, namesIn(settings));
  const why = "an enrolled agent of this customer with the role `service`";
  settings.senders.forEach((id, index) => {
    if (!known.has(id)) throw wrong(`sealing.senders[${index}]`, why);
  });
  if (settings.consumer !== null && !known.has(settings.consumer)) throw wrong("sealing.consumer", why);
}

/** Whom a node believes and to whom it seals, as its desired state says it. Who was revoked meanwhile is left out. */
export async function pluginSeal(
  { db, messenger }: { readonly db: Db; readonly messenger: Messenger },
  agentId: string,
  settings: SealSettings,
): Promise<PluginSeal> {
  const [row] = await db.read<{ customerId: string }>("SELECT customer_id AS customerId FROM agents WHERE id = ?", [
    agentId,
  ]);
  const known = await identitiesOf(db, row?.customerId ?? "", namesIn(settings));
  const solaris = named((await messenger.keys()).identity);
  const { consumer } = settings;
  return {
    solaris,
    senders: settings.senders.flatMap((id) => known.get(id) ?? []),
    consumer: consumer === null ? solaris : (known.get(consumer) ?? null),
  };
}

/** Agents with a plugin that names this one as sender or consumer. */
export async function agentsThatName(db: Db, agentId: string): Promise<string[]> {
  const rows = await db.read<{ agentId: string }>(
    `SELECT DISTINCT agent_id AS agentId FROM plugins WHERE deleted_at IS NULL AND sealing IS NOT NULL
      AND (sealing ->> 'consumer' = ? OR EXISTS (SELECT 1 FROM json_each(sealing, '$.senders') WHERE value = ?))`,
    [agentId, agentId],
  );
  return rows.map((row) => row.agentId);
}

const namesIn = ({ senders, consumer }: SealSettings) => [...senders, ...(consumer === null ? [] : [consumer])];

const named = ({ identifier, chain }: VerifiedIdentity): NamedIdentity => ({ identifier, chain: base64url(chain) });

/** Identities of those of these agents that are services of the customer, enrolled and not revoked. */
async function identitiesOf(db: Db, customerId: string, ids: readonly string[]): Promise<Map<string, NamedIdentity>> {
  if (ids.length === 0) return new Map();
  const rows = await db.read<{ id: string; identifier: string; chain: Uint8Array }>(
    `SELECT a.id, i.identifier, i.chain FROM agents a JOIN agent_identities i ON i.identifier = a.identifier
      WHERE a.id IN (SELECT value FROM json_each(?)) AND a.customer_id = ? AND a.role = 'service'
        AND a.revoked_at IS NULL AND i.revoked_at IS NULL`,
    [JSON.stringify(ids), customerId],
  );
  return new Map(
    rows.map(({ id, identifier, chain }) => [id, { identifier, chain: base64url(new Uint8Array(chain)) }]),
  );
}

function wrong(path: string, message: string): Fault {
  return new Fault("invalid", undefined, { detail: { [path]: message } });
}
