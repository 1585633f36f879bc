import { z } from "zod";
import { Fault } from "#lib/fault";
import { sealedSendersMax } from "#lib/limits";
import {
  type ConnectorType,
  connectorTypes,
  desiredPluginSchema,
  mapSecrets,
  nameSchema,
  secretMask,
  testConnectorTypes,
} from "#lib/session";
import { invalid } from "../api/index.ts";

/** Whose messages a sealed plugin takes, and for whom it seals. */
export const sealingSchema = z.strictObject({
  senders: z.array(nameSchema).max(sealedSendersMax).default([]).meta({
    description: "Agents with the role `service` that may send, beside what is pushed through this API.",
  }),
  consumer: nameSchema.nullable().default(null).meta({
    description:
      "Agent with the role `service` that what comes up is sealed to; null: Solaris, and `/received` shows it opened.",
  }),
});

/** What a caller says of a plugin. */
export const wantedPluginSchema = z.strictObject({
  type: nameSchema.meta({ description: "One of `GET /connector-types`." }),
  enabled: z.boolean().default(true),
  config: z
    .record(z.string(), z.unknown())
    .meta({ description: `Fits the type's schema. \`${secretMask}\` keeps the secret that is stored.` }),
  lane: desiredPluginSchema.shape.lane.prefault({}),
  receiveSchema: z
    .unknown()
    .optional()
    .meta({ description: "JSON Schema that what comes up must fit; what does not is quarantined with the reason." }),
  sealed: z.boolean().default(false).meta({
    description:
      "Messages of this plugin are signed by their sender and sealed to their recipient: broker and Nexus can neither read nor forge them. Nothing else is taken then: what waits unsealed when it is switched on becomes a dead letter (`not_sealed`), which can be replayed, or is quarantined.",
  }),
  sealing: sealingSchema.optional().meta({ description: "With `sealed`; default: Solaris alone sends and receives." }),
});

export type WantedPlugin = z.infer<typeof wantedPluginSchema>;
export type PluginConfig = Readonly<Record<string, unknown>>;

const allTypes: Readonly<Record<string, ConnectorType>> = { ...connectorTypes, ...testConnectorTypes };

/** The connector of this name. Fault `invalid` at `type`. */
export function connectorOf(type: string): ConnectorType {
  const connector = Object.hasOwn(allTypes, type) ? allTypes[type] : undefined;
  if (connector === undefined) throw noSuchType();
  return connector;
}

/** Fault `invalid` at `type` for a connector that is not offered here: those for tests only where `testConnectors` says so. */
export function checkOffered(type: string, testConnectors: boolean): void {
  if (!Object.hasOwn(testConnectors ? allTypes : connectorTypes, type)) throw noSuchType();
}

function noSuchType(): Fault {
  return new Fault("invalid", undefined, { detail: { type: `one of ${Object.keys(connectorTypes).join(", ")}` } });
}

/**
 * `config` as its connector has it, masks replaced by the secrets of `stored` (the same type's configuration before).
 * Fault `invalid` names each field that does not fit, and each mask behind which nothing is stored, or only a secret that was
 * entered for another address.
 */
export function completeConfig(type: string, config: PluginConfig, stored: PluginConfig | undefined): PluginConfig {
  const { schema, secretsGoTo } = connectorOf(type);
  const missing: string[] = [];
  // Else whoever may configure, and may not read, could have a stored password sent to an address of theirs.
  const elsewhere = stored !== undefined && secretsGoTo?.(stored) !== secretsGoTo?.(config);
  const complete: PluginConfig = structuredClone(config);
  for (const path of maskedPaths(schema, config)) {
    const secret = valueAt(stored, path);
    if (typeof secret === "string" && !elsewhere) setAt(complete, path, secret);
    else missing.push(path);
  }
  if (missing.length > 0)
    throw new Fault("invalid", undefined, {
      detail: Object.fromEntries(
        missing.map((path) => [
          `config.${path}`,
          elsewhere ? "the address has changed: enter the secret again" : "no secret is stored here: enter it",
        ]),
      ),
    });
  const parsed = schema.safeParse(complete);
  if (!parsed.success) throw invalid(parsed.error.issues, "config");
  return parsed.data;
}

/** `config` as anyone may see it. */
export function shownConfig(type: string, config: PluginConfig): PluginConfig {
  return mapSecrets(connectorOf(type).schema, config, () => secretMask) as PluginConfig; // an object schema maps objects to objects
}

function maskedPaths(schema: z.ZodType, config: PluginConfig): string[] {
  const paths: string[] = [];
  mapSecrets(schema, config, (value, path) => {
    if (value === secretMask) paths.push(path);
    return value;
  });
  return paths;
}

const isRecord = (value: unknown): value is Record<string, unknown> => value !== null && typeof value === "object";

function valueAt(value: unknown, path: string): unknown {
  let at = value;
  for (const name of path.split(".")) {
    if (!isRecord(at) || !Object.hasOwn(at, name)) return undefined;
    at = at[name];
  }
  return at;
}

function setAt(value: unknown, path: string, secret: string): void {
  const names = path.split(".");
  const last = names.pop();
  const holder = names.length === 0 ? value : valueAt(value, names.join("."));
  if (isRecord(holder) && last !== undefined && Object.hasOwn(holder, last)) holder[last] = secret;
}
