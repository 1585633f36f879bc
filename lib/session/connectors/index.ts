import type { z } from "zod";
import { fileConfigSchema } from "./file.ts";
import { httpConfigSchema } from "./http.ts";
import { noopConfigSchema } from "./noop.ts";
import { webhookConfigSchema } from "./webhook.ts";

/** What a connector's type promises about doing something twice (DESIGN §4). */
export type OnceGuarantee = "exactly-once" | "at-least-once";

/** A kind of connector as the API, the forms and the agent know it. */
export interface ConnectorType {
  readonly title: string;
  readonly schema: z.ZodType<Record<string, unknown>>;
  /** Which guarantee a given configuration has, for the console and the API. */
  readonly once: (config: Readonly<Record<string, unknown>>) => OnceGuarantee;
  /** Whom a configuration shows its secrets to: a stored one is not kept when that changes. Absent = nobody outside. */
  readonly secretsGoTo?: (config: Readonly<Record<string, unknown>>) => string;
}

/** Every connector type by name. */
export const connectorTypes: Readonly<Record<string, ConnectorType>> = {
  http: {
    title: "HTTP / REST",
    schema: httpConfigSchema,
    once: (config) => (httpConfigSchema.parse(config).down?.keepsIdempotencyKeys ? "exactly-once" : "at-least-once"),
    secretsGoTo: (config) => (URL.canParse(String(config.baseUrl)) ? new URL(String(config.baseUrl)).origin : ""),
  },
  webhook: { title: "Webhook", schema: webhookConfigSchema, once: () => "at-least-once" },
  file: { title: "Files", schema: fileConfigSchema, once: () => "exactly-once" },
};

/** Types that exist only where tests and benchmarks are allowed to (`SOLARIS_TEST_CONNECTORS`, `MERCURY_TEST_CONNECTORS`). */
export const testConnectorTypes: Readonly<Record<string, ConnectorType>> = {
  noop: { title: "Nothing (tests)", schema: noopConfigSchema, once: () => "at-least-once" },
};
