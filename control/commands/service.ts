import type { Broker } from "#lib/broker";
import { encodeJson, type JsonValue, utf8 } from "#lib/bytes";
import { sleep } from "#lib/clock";
import { Fault } from "#lib/fault";
import type { Command } from "#lib/session";
import { numericDate, type Signer, seal, signCommand } from "#lib/statement";
import { actorOf, type Principal } from "../access/principal.ts";
import { findAgent } from "../agents/index.ts";
import { type Keep, keepNothing, type SliceDeps } from "../api/index.ts";
import { recipientOfAgent } from "../desired/repo.ts";
import { type CommandRow, commandById, insertCommand } from "./repo.ts";

/** The broker keeps a command for 10 minutes, so it counts no longer. */
export const commandLifeMaxMs = 600_000;

export interface CommandDeps
  extends Pick<SliceDeps, "db" | "seals" | "audit" | "suite" | "clock" | "random" | "newId"> {
  /** The authority's. */
  readonly signer: Signer;
  readonly broker: Pick<Broker, "publish">;
}

/** Gives an order to a node. */
export type GiveCommand = (
  by: Principal,
  agentId: string,
  order: { readonly command: Command; readonly lifeMs: number },
  keep?: Keep<CommandRow>,
) => Promise<CommandRow>;

/**
 * Signs an order, seals it to the node and hands it to the broker (PROTOCOL §8); the node runs it once, before it expires.
 * Faults: `not_found`, `revoked`, `conflict` while the agent is not enrolled, `unavailable`.
 */
export function makeGiveCommand(deps: CommandDeps): GiveCommand {
  return async (by, agentId, { command, lifeMs }, keep = keepNothing) => {
    const agent = await findAgent(deps, by, agentId);
    if (agent.revokedAt !== null) throw new Fault("revoked");
    const recipient = await recipientOfAgent(deps.db, agentId);
    if (recipient === undefined) throw new Fault("conflict", "this agent is not enrolled");
    const { name, ...rest } = command;
    const detail = Object.fromEntries(Object.entries(rest).map(([field, value]) => [field, String(value)]));
    const now = deps.clock.now();
    const id = deps.newId("cmd");
    const statement = await signCommand(deps.signer, {
      sub: recipient.identifier,
      id,
      iat: numericDate(now),
      exp: numericDate(now + lifeMs),
      name,
      arguments: detail,
    });
    const sealed = await seal(deps.suite, deps.random, recipient, statement);
    const row: CommandRow = {
      id,
      customerId: agent.customerId,
      agentId,
      name,
      detail,
      createdAt: now,
      createdBy: actorOf(by),
      expiresAt: now + lifeMs,
      answeredAt: null,
      ok: null,
      code: null,
      reason: null,
      result: null,
    };
    const event = { actor: actorOf(by), action: "command.given", subject: agentId, customerId: agent.customerId };
    const set = [insertCommand(deps.db, row), ...(await keep(row))];
    await deps.audit.record({ ...event, detail: { ...detail, command: name, id } }, ...set);
    await publish(deps, row, sealed);
    return row;
  };
}

/** What was given stays given: an order that the broker did not take is answered as such. */
async function publish(deps: CommandDeps, row: CommandRow, sealed: string): Promise<void> {
  try {
    await deps.broker.publish({ kind: "command", agent: row.agentId }, utf8(sealed), row.id);
  } catch (cause) {
    await deps.db.write({
      sql: "UPDATE commands SET answered_at = ?, ok = 0, code = 'unavailable' WHERE id = ? AND answered_at IS NULL",
      params: [deps.clock.now(), row.id],
    });
    throw new Fault("unavailable", "the broker did not take the command", { cause });
  }
}

const pollMs = 50;

/** The command once it is answered or has expired, or as it is after `timeoutMs`. */
export async function commandAnswered(
  deps: Pick<CommandDeps, "db" | "clock">,
  id: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<CommandRow> {
  const until = deps.clock.monotonic() + timeoutMs;
  for (;;) {
    const row = await commandById(deps.db, id);
    if (row === undefined) throw new Fault("not_found"); // purged
    const now = deps.clock.monotonic();
    if (row.answeredAt !== null || now >= until || deps.clock.now() >= row.expiresAt) return row;
    await sleep(deps.clock, pollMs, { signal });
  }
}

/** JSON of an answer's result, to be sealed. */
export const resultBytes = (result: unknown) => encodeJson((result ?? null) as JsonValue); // came as JSON
