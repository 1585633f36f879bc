import { z } from "zod";
import { askLocally, paths, serveLocally } from "#lib/runtime";

/** What a running Mercury says of itself to `mercury status`. No secrets. */
export const agentStatusSchema = z.object({
  pid: z.int(),
  version: z.string(),
  startedAt: z.int(),
  residentBytes: z.number(),
  /** How late the event loop ran since this was asked last. */
  loopLagP99Ms: z.number(),
  agentId: z.string().nullable(),
  identifier: z.string().nullable(),
  gateway: z.string().nullable(),
  tunnel: z.object({
    state: z.enum(["online", "connecting", "waiting", "stopped"]),
    since: z.int(),
    /** Code and text of what ended or refused the last try. */
    code: z.string().optional(),
    reason: z.string().optional(),
    nextTryAt: z.int().optional(),
    /** Round trip of the session's last ping, ms. */
    rttMs: z.number().optional(),
  }),
  credentialUntil: z.int().nullable(),
  desired: z.int(),
  plugins: z.array(
    z.object({
      name: z.string(),
      type: z.string(),
      version: z.int(),
      state: z.string(),
      reason: z.string().optional(),
      inbox: z.int(),
      outbox: z.int(),
      facts: z.record(z.string(), z.union([z.string(), z.number()])).optional(),
    }),
  ),
  portals: z
    .array(
      z.object({
        name: z.string(),
        end: z.enum(["inlet", "outlet"]),
        version: z.int(),
        state: z.enum(["runs", "disabled", "failed"]),
        reason: z.string().optional(),
        /** Connections: open now, in all, refused. */
        open: z.int(),
        total: z.int(),
        refused: z.int(),
        /** Why the last one that did not end in order was refused or cut. */
        last: z.object({ at: z.int(), code: z.string(), reason: z.string() }).optional(),
      }),
    )
    .default([]),
});

export type AgentStatus = z.infer<typeof agentStatusSchema>;

const endpointOf = (dataDirectory: string) => paths.join(dataDirectory, "mercury.sock");

/** Answers `mercury status` while this process lives. */
export function serveStatus(dataDirectory: string, status: () => AgentStatus): Promise<AsyncDisposable> {
  return serveLocally(endpointOf(dataDirectory), () => JSON.stringify(status()));
}

/** The status of the Mercury that runs on this data directory; undefined when none does. */
export async function askStatus(dataDirectory: string): Promise<AgentStatus | undefined> {
  const text = await askLocally(endpointOf(dataDirectory));
  return text === undefined ? undefined : agentStatusSchema.parse(JSON.parse(text));
}
