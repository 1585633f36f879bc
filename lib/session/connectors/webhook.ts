import { z } from "zod";
import { bodyBytesMax } from "#lib/limits";
import { secretSchema } from "./secret.ts";

/** `webhook`: a local HTTP listener for systems that push; 202 only after the outbox is durable. */
export const webhookConfigSchema = z.strictObject({
  host: z.string().min(1).max(255).default("127.0.0.1").meta({ title: "Address to listen on" }),
  port: z.int().min(0).max(65_535).meta({ title: "Port", help: "0 takes a free one, shown in the log and in status." }),
  path: z.string().max(500).regex(/^\//, "begins with /").default("/"),
  auth: z.discriminatedUnion("kind", [
    z.strictObject({ kind: z.literal("none") }),
    z.strictObject({ kind: z.literal("bearer"), token: secretSchema("Token") }),
    z.strictObject({
      kind: z.literal("basic"),
      username: z.string().min(1).max(256),
      password: secretSchema("Password"),
    }),
  ]),
  bodyBytesMax: z.int().min(1).max(bodyBytesMax).default(bodyBytesMax),
});

export type WebhookConfig = z.infer<typeof webhookConfigSchema>;
