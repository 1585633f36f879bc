import { Fault } from "#lib/fault";
import { compilePolicy } from "#lib/policy";
import type { DesiredPolicy } from "#lib/session";
import { actorOf, demandCustomer, type Principal } from "../access/principal.ts";
import { type Keep, keepNothing, type SliceDeps } from "../api/index.ts";
import { findCustomer } from "../customers/index.ts";
import { type Db, expecting, isDuplicate, isUnmet } from "../db/index.ts";
import {
  endPolicy,
  insertPolicy,
  insertPolicyVersion,
  type PolicyRow,
  type PolicyVersionRow,
  policiesOfAgent,
  policyById,
  policyVersion,
  updatePolicy,
  usesOf,
} from "./repo.ts";
import { checkRules, desiredPolicy, type WantedPolicy } from "./rules.ts";
import { policies } from "./tables.ts";

export interface PolicyDeps extends Pick<SliceDeps, "db" | "audit" | "clock" | "newId"> {
  /** Brings the nodes that serve portals of a policy to its newest version. */
  readonly settle: (policyId: string) => Promise<void>;
}

/** Which version is replaced (If-Match); undefined = whichever there is. */
interface At {
  readonly id: string;
  readonly version: number | undefined;
}

/** The policy, if this key may see it. Fault `not_found`; with `deleted` one that is not wanted any more counts too. */
export async function findPolicy(
  { db }: Pick<PolicyDeps, "db">,
  by: Principal,
  id: string,
  { deleted = false }: { readonly deleted?: boolean } = {},
): Promise<PolicyRow> {
  const row = await policyById(db, id);
  if (row === undefined || (row.deletedAt !== null && !deleted)) throw new Fault("not_found");
  demandCustomer(by, row.customerId);
  return row;
}

/** A new policy. Faults: `not_found` (customer), `invalid` with place and reason per rule, `conflict` (name taken). */
export async function createPolicy(
  deps: PolicyDeps,
  by: Principal,
  { customerId, ...wanted }: WantedPolicy & { readonly customerId: string },
  keep: Keep<PolicyRow> = keepNothing,
): Promise<PolicyRow> {
  await findCustomer(deps, by, customerId);
  checkRules(wanted.rules);
  const created = { createdAt: deps.clock.now(), createdBy: actorOf(by) };
  const row = { id: deps.newId("pol"), customerId, version: 1, ...created, ...contentOf(deps, by, wanted) };
  await orTaken(
    deps.audit.record(
      eventOf(by, "policy.created", row),
      insertPolicy(deps.db, row),
      insertPolicyVersion(deps.db, versionOf(row, null)),
      ...(await keep(row)),
    ),
  );
  return row;
}

/** Replaces the definition; nodes that serve portals of it judge by it at once. Faults as `createPolicy`. */
export async function changePolicy(deps: PolicyDeps, by: Principal, at: At, wanted: WantedPolicy): Promise<PolicyRow> {
  const former = await findPolicy(deps, by, at.id);
  return replace(deps, by, at, former, { wanted, restores: null, action: "policy.changed" });
}

/** Brings an earlier version back, under a higher number. Faults: `not_found`, `invalid` when it was a deletion or can't be compiled any more, `conflict`. */
export async function rollBackPolicy(deps: PolicyDeps, by: Principal, at: At, restores: number): Promise<PolicyRow> {
  const former = await findPolicy(deps, by, at.id);
  const row = await policyVersion(deps.db, at.id, restores);
  if (row === undefined) throw new Fault("not_found");
  if (row.deleted)
    throw new Fault("invalid", undefined, { detail: { version: "the policy was deleted in this version" } });
  const wanted = { name: row.name, note: row.note, rules: [...row.rules] };
  return replace(deps, by, at, former, { wanted, restores, action: "policy.rolled-back" });
}

/** Ends a policy. Faults: `not_found`; `conflict` while a portal names it, or when it was changed in between. */
export async function deletePolicy(deps: PolicyDeps, by: Principal, at: At): Promise<void> {
  const former = await findPolicy(deps, by, at.id);
  const uses = await usesOf(deps.db, [former.id]);
  if (uses.length > 0)
    throw new Fault("conflict", `portals name it: ${[...new Set(uses.map(({ name }) => name))].join(", ")}`);
  const version = at.version ?? former.version;
  const now = deps.clock.now();
  const row = { ...former, version: version + 1, updatedAt: now, updatedBy: actorOf(by), deletedAt: now };
  await orChanged(
    deps.audit.record(
      eventOf(by, "policy.deleted", row),
      expecting(1, endPolicy(deps.db, row, version)),
      insertPolicyVersion(deps.db, versionOf(row, null)),
    ),
  );
}

/** What a portal that names this policy needs of it. Fault `invalid` at `policyId` when the customer has none of this id, or it can't be compiled. */
export async function demandUsable(db: Db, customerId: string, id: string): Promise<void> {
  const row = await policyById(db, id);
  if (row === undefined || row.deletedAt !== null || row.customerId !== customerId)
    throw new Fault("invalid", undefined, { detail: { policyId: "no such policy of this customer" } });
  try {
    compilePolicy(row.rules);
  } catch (cause) {
    if (!(cause instanceof Fault)) throw cause;
    throw new Fault("invalid", undefined, { detail: { policyId: cause.message }, cause });
  }
}

/** A policy as Nexus judges by it. Fault `forbidden` when it is gone: nobody may then. */
export async function policyForOutlet(db: Db, id: string): Promise<DesiredPolicy> {
  const row = await policyById(db, id);
  if (row === undefined || row.deletedAt !== null) throw new Fault("forbidden", "the portal's policy is gone");
  return desiredPolicy(row);
}

/** Policies of the portals that an agent serves, for its desired state. */
export async function desiredPoliciesOf(db: Db, agentId: string): Promise<DesiredPolicy[]> {
  return (await policiesOfAgent(db, agentId)).map(desiredPolicy);
}

async function replace(
  deps: PolicyDeps,
  by: Principal,
  at: At,
  former: PolicyRow,
  {
    wanted,
    restores,
    action,
  }: { readonly wanted: WantedPolicy; readonly restores: number | null; readonly action: string },
): Promise<PolicyRow> {
  checkRules(wanted.rules);
  const version = at.version ?? former.version;
  const row = { ...former, version: version + 1, ...contentOf(deps, by, wanted) };
  await orChanged(
    deps.audit.record(
      eventOf(by, action, row),
      expecting(1, updatePolicy(deps.db, row, version)),
      insertPolicyVersion(deps.db, versionOf(row, restores)),
    ),
  );
  await deps.settle(row.id);
  return row;
}

function contentOf(deps: PolicyDeps, by: Principal, { name, note, rules }: WantedPolicy) {
  return { name, note, rules, updatedAt: deps.clock.now(), updatedBy: actorOf(by), deletedAt: null };
}

function versionOf(row: PolicyRow, restores: number | null): PolicyVersionRow {
  const { id: policyId, version, name, note, rules, updatedAt: createdAt, updatedBy: createdBy, deletedAt } = row;
  return { policyId, version, name, note, rules, restores, deleted: deletedAt !== null, createdAt, createdBy };
}

function eventOf(by: Principal, action: string, { id, customerId, name, version }: PolicyRow) {
  return { actor: actorOf(by), action, subject: id, customerId, detail: { name, version } };
}

async function orTaken<T>(written: Promise<T>): Promise<T> {
  try {
    return await written;
  } catch (error) {
    if (!isDuplicate(error, policies.name)) throw error;
    throw new Fault("conflict", "a policy of this name exists", { cause: error });
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
