import { z } from "zod";
import { secretSchema } from "./secret.ts";

const path = z.string().max(1_000).regex(/^\//, "begins with /");
const pointer = z
  .string()
  .max(200)
  .regex(/^(\/.*)?$/, "a JSON pointer: empty, or begins with /");

/** How the system knows the caller. */
export const httpAuthSchema = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("none") }),
  z.strictObject({
    kind: z.literal("basic"),
    username: z.string().min(1).max(256),
    password: secretSchema("Password"),
  }),
  z.strictObject({ kind: z.literal("bearer"), token: secretSchema("Token") }),
]);

/** `http`: calls an on-premise REST endpoint with each message; polls one on a schedule. */
export const httpConfigSchema = z.strictObject({
  baseUrl: z
    .url({ protocol: /^https?$/ })
    .max(500)
    .meta({ title: "Address of the system", help: "Without a user name or password in it." }),
  auth: httpAuthSchema.default({ kind: "none" }),
  timeoutMs: z.int().min(100).max(600_000).default(30_000).meta({ title: "Time-out of one call" }),
  /** Path that answers 2xx when the system is well; default `/` where anything below 500 counts as reachable. */
  checkPath: path.optional(),
  down: z
    .strictObject({
      method: z.enum(["POST", "PUT", "PATCH"]).default("POST"),
      path,
      headers: z.record(z.string().max(100), z.string().max(1_000)).default({}),
      /** Whether the system keeps `Idempotency-Key`s: only then an unknown outcome may be tried again safely. */
      keepsIdempotencyKeys: z.boolean().default(false),
    })
    .optional(),
  up: z
    .strictObject({
      /** Cron, 5 or 6 fields, or every this many milliseconds. */
      schedule: z.union([z.string().min(9).max(100), z.int().min(100).max(86_400_000)]),
      path,
      /** Query parameter that carries the cursor. */
      cursorParameter: z.string().min(1).max(64).default("since"),
      /** JSON pointer to the list of items in the answer. */
      items: pointer.default(""),
      /** JSON pointer, inside an item, to the value that the next poll passes as cursor. */
      cursor: pointer.default("/id"),
    })
    .optional(),
});

export type HttpConfig = z.infer<typeof httpConfigSchema>;
