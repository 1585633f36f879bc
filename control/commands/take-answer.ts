import { fromUtf8 } from "#lib/bytes";
import type { Clock } from "#lib/clock";
import { Fault } from "#lib/fault";
import type { Statement } from "#lib/runtime";
import { type CommandAnswer, commandAnswerSchema, type UpMessage } from "#lib/session";
import { asStatement, type Db, type Seals } from "../db/index.ts";
import { answerCommand } from "./repo.ts";
import { resultBytes } from "./service.ts";
import { commands } from "./tables.ts";

/** A node's answer to a command of its own, as the statement that keeps it. Fault `invalid` when it is none. */
export async function takeAnswer(
  deps: { readonly db: Db; readonly seals: Seals; readonly clock: Clock },
  agentId: string,
  message: UpMessage,
): Promise<Statement> {
  const { about: id } = message;
  if (id === undefined) throw new Fault("invalid", "an answer that names no command");
  const { ok, code = null, reason = null, result } = parseAnswer(message.body);
  const sealed = result === undefined ? null : await deps.seals.seal(commands.result, id, resultBytes(result));
  const answer = { answeredAt: deps.clock.now(), ok, code, reason, result: sealed };
  return asStatement(answerCommand(deps.db, { id, agentId }, answer));
}

function parseAnswer(body: Uint8Array): CommandAnswer {
  let value: unknown;
  try {
    value = JSON.parse(fromUtf8(body));
  } catch (cause) {
    throw new Fault("invalid", "an answer that is not JSON", { cause });
  }
  const parsed = commandAnswerSchema.safeParse(value);
  if (!parsed.success) throw new Fault("invalid", "an answer that does not fit its schema", { cause: parsed.error });
  return parsed.data;
}
