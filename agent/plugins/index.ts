import type { z } from "zod";
import { Fault } from "#lib/fault";
import { fileConfigSchema, httpConfigSchema, noopConfigSchema, webhookConfigSchema } from "#lib/session";
import { FilePlugin } from "./file/file-plugin.ts";
import { HttpPlugin } from "./http/http-plugin.ts";
import { NoopPlugin } from "./noop/noop-plugin.ts";
import type { Plugin, PluginHost } from "./plugin.ts";
import { WebhookPlugin } from "./webhook/webhook-plugin.ts";

type Maker = (config: unknown, host: PluginHost) => Plugin;

const makers: Readonly<Record<string, Maker>> = {
  http: maker(httpConfigSchema, (config, host) => new HttpPlugin(config, host)),
  webhook: maker(webhookConfigSchema, (config, host) => new WebhookPlugin(config, host)),
  file: maker(fileConfigSchema, (config, host) => new FilePlugin(config, host)),
};

const testMakers: Readonly<Record<string, Maker>> = {
  noop: maker(noopConfigSchema, (config, host) => new NoopPlugin(config, host)),
};

/**
 * The plugin of this type, not yet started. `testConnectors`: whether types for tests and benchmarks exist.
 * Fault `config`: no such type in this version, or a configuration that can't work anywhere; `invalid`: it does not fit its schema.
 */
export function makePlugin(
  type: string,
  config: unknown,
  host: PluginHost,
  { testConnectors = false }: { readonly testConnectors?: boolean } = {},
): Plugin {
  const known = testConnectors ? { ...makers, ...testMakers } : makers;
  const make = Object.hasOwn(known, type) ? known[type] : undefined;
  if (make === undefined)
    throw new Fault("config", "this version of Mercury has no such type of plugin", { detail: { type } });
  return make(config, host);
}

function maker<T>(schema: z.ZodType<T>, make: (config: T, host: PluginHost) => Plugin): Maker {
  return (config, host) => {
    const parsed = schema.safeParse(config);
    if (parsed.success) return make(parsed.data, host);
    // Paths and rules only: a message may quote the value, and that may be a secret.
    const fields = parsed.error.issues.map(({ path, code }) => `${path.join(".") || "configuration"}: ${code}`);
    throw new Fault("invalid", `the configuration does not fit its schema (${fields.slice(0, 5).join(", ")})`);
  };
}
