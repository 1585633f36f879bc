import { utf8 } from "#lib/bytes";
import { Fault } from "#lib/fault";
import { actorOf, demandCustomer, type Principal } from "../access/principal.ts";
import { type Keep, keepNothing, type SliceDeps } from "../api/index.ts";
import { expecting, isUnmet, newSecretText } from "../db/index.ts";
import {
  type CustomerRow,
  customerById,
  insertCustomer,
  insertLicence,
  type LicenceRow,
  licenceById,
  listLicences,
  updateCustomer,
  updateLicence,
} from "./repo.ts";
import { licenceProblem } from "./rules.ts";
import { licences } from "./tables.ts";

export type CustomerDeps = Pick<SliceDeps, "db" | "seals" | "audit" | "suite" | "clock" | "random" | "newId">;

/** The customer, if this key may see it. Fault `not_found`. */
export async function findCustomer(deps: Pick<CustomerDeps, "db">, by: Principal, id: string): Promise<CustomerRow> {
  demandCustomer(by, id);
  const row = await customerById(deps.db, id);
  if (row === undefined) throw new Fault("not_found");
  return row;
}

export async function createCustomer(
  deps: CustomerDeps,
  by: Principal,
  wanted: Pick<CustomerRow, "name" | "note" | "requireE2e">,
  keep: Keep<CustomerRow> = keepNothing,
): Promise<CustomerRow> {
  const row = { id: deps.newId("cus"), ...wanted, createdAt: deps.clock.now(), version: 1 };
  const detail = { requireE2e: row.requireE2e };
  const event = { actor: actorOf(by), action: "customer.created", subject: row.id, customerId: row.id, detail };
  await deps.audit.record(event, insertCustomer(deps.db, row), ...(await keep(row)));
  return row;
}

export interface CustomerChange {
  readonly version?: number | undefined;
  readonly name?: string | undefined;
  readonly note?: string | undefined;
  readonly requireE2e?: boolean | undefined;
}

/** Fault `conflict` when somebody else changed it since `version`. */
export async function changeCustomer(
  deps: CustomerDeps,
  by: Principal,
  id: string,
  { version, ...change }: CustomerChange,
): Promise<CustomerRow> {
  const row = await findCustomer(deps, by, id);
  const requireE2e = change.requireE2e ?? row.requireE2e;
  const wanted = { name: change.name ?? row.name, note: change.note ?? row.note, requireE2e };
  const event = { actor: actorOf(by), action: "customer.changed", subject: id, customerId: id, detail: { requireE2e } };
  const statement = expecting(1, updateCustomer(deps.db, id, version ?? row.version, wanted));
  await orChanged(deps.audit.record(event, statement));
  return { ...row, ...wanted, version: (version ?? row.version) + 1 };
}

/** The licence, if this key may see it. Fault `not_found`. */
export async function findLicence(deps: Pick<CustomerDeps, "db">, by: Principal, id: string): Promise<LicenceRow> {
  const row = await licenceById(deps.db, id);
  if (row === undefined) throw new Fault("not_found");
  demandCustomer(by, row.customerId);
  return row;
}

export type NewLicence = Pick<
  LicenceRow,
  "name" | "tier" | "capabilities" | "rateLimitRpm" | "backendAccess" | "attributes" | "validUntil"
> & { readonly validFrom?: number | undefined };

export interface MadeLicence {
  readonly licence: LicenceRow;
  readonly key: string;
}

/** A new licence with its key, which is shown this once. */
export async function createLicence(
  deps: CustomerDeps,
  by: Principal,
  customerId: string,
  wanted: NewLicence,
  keep: Keep<MadeLicence> = keepNothing,
): Promise<MadeLicence> {
  await findCustomer(deps, by, customerId);
  const id = deps.newId("lic");
  const key = newSecretText(deps.random, "licence");
  const now = deps.clock.now();
  const licence: LicenceRow = {
    ...wanted,
    id,
    customerId,
    keyHash: await deps.suite.sha256(utf8(key)),
    key: await deps.seals.seal(licences.key, id, utf8(key)),
    validFrom: wanted.validFrom ?? now,
    suspendedAt: null,
    suspendedReason: null,
    createdAt: now,
    version: 1,
  };
  checkPeriod(licence);
  const detail = { tier: wanted.tier, validUntil: wanted.validUntil };
  const event = { actor: actorOf(by), action: "licence.created", subject: id, customerId, detail };
  const made = { licence, key };
  await deps.audit.record(event, insertLicence(deps.db, licence), ...(await keep(made)));
  return made;
}

export type LicenceChange = {
  readonly [Field in keyof NewLicence]?: NewLicence[Field] | undefined;
} & { readonly version?: number | undefined };

/** Credentials issued from now on carry the change. Fault `conflict` when somebody else changed it since `version`. */
export async function changeLicence(
  deps: CustomerDeps,
  by: Principal,
  id: string,
  { version, ...change }: LicenceChange,
): Promise<LicenceRow> {
  const row = await findLicence(deps, by, id);
  const wanted = { ...row, ...withoutUndefined(change) };
  checkPeriod(wanted);
  const { key: _key, keyHash: _hash, version: _version, ...fields } = wanted;
  const detail = { fields: Object.keys(withoutUndefined(change)).join(" ") };
  const event = { actor: actorOf(by), action: "licence.changed", subject: id, customerId: row.customerId, detail };
  await orChanged(deps.audit.record(event, expecting(1, updateLicence(deps.db, id, version ?? row.version, fields))));
  return { ...wanted, version: (version ?? row.version) + 1 };
}

/** Ends the sessions under the licence with `suspended` and opens none, or ends that state; messages wait. */
export async function suspendLicence(
  deps: CustomerDeps,
  by: Principal,
  id: string,
  suspension: { readonly reason: string } | null,
): Promise<LicenceRow> {
  const row = await findLicence(deps, by, id);
  if ((row.suspendedAt !== null) === (suspension !== null)) return row;
  const change = {
    suspendedAt: suspension === null ? null : deps.clock.now(),
    suspendedReason: suspension?.reason ?? null,
  };
  const action = suspension === null ? "licence.resumed" : "licence.suspended";
  const detail = suspension === null ? {} : { reason: suspension.reason };
  const event = { actor: actorOf(by), action, subject: id, customerId: row.customerId, detail };
  await orChanged(deps.audit.record(event, expecting(1, updateLicence(deps.db, id, row.version, change))));
  return { ...row, ...change, version: row.version + 1 };
}

/**
 * The licence that a new agent of this customer runs under: the one named, else the only one that is valid.
 * Faults: `not_found` (another customer's too), `invalid` when there is none or a choice.
 */
export async function licenceForAgent(
  deps: Pick<CustomerDeps, "db" | "clock">,
  by: Principal,
  customerId: string,
  licenceId: string | undefined,
): Promise<LicenceRow> {
  if (licenceId !== undefined) {
    const row = await findLicence(deps, by, licenceId);
    if (row.customerId !== customerId) throw new Fault("not_found");
    return row;
  }
  const all = await listLicences(deps.db, customerId, undefined, 100);
  const [only, ...others] = all.filter((row) => licenceProblem(row, deps.clock.now()) === undefined);
  if (only !== undefined && others.length === 0) return only;
  const message = only === undefined ? "this customer has no valid licence" : "this customer has several: name one";
  throw new Fault("invalid", undefined, { detail: { licenceId: message } });
}

function checkPeriod({ validFrom, validUntil }: Pick<LicenceRow, "validFrom" | "validUntil">): void {
  if (validUntil === null || validFrom < validUntil) return;
  throw new Fault("invalid", undefined, { detail: { validUntil: "must be after validFrom" } });
}

async function orChanged(written: Promise<unknown>): Promise<void> {
  try {
    await written;
  } catch (error) {
    if (isUnmet(error, 0))
      throw new Fault("conflict", "changed by someone else in between: read it again", { cause: error });
    throw error;
  }
}

function withoutUndefined<T extends object>(value: T): { [Field in keyof T]: Exclude<T[Field], undefined> } {
  const set = Object.entries(value).filter(([, field]) => field !== undefined);
  return Object.fromEntries(set) as { [Field in keyof T]: Exclude<T[Field], undefined> }; // the filter is what the type says
}
