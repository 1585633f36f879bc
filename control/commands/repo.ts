import { and, desc, eq, isNull, lt } from "drizzle-orm";
import type { Db } from "../db/index.ts";
import { commands } from "./tables.ts";

export type CommandRow = typeof commands.$inferSelect;

export const insertCommand = (db: Db, row: CommandRow) => db.query.insert(commands).values(row);

export async function commandById(db: Db, id: string): Promise<CommandRow | undefined> {
  const [row] = await db.query.select().from(commands).where(eq(commands.id, id)).limit(1);
  return row;
}

export function listCommands(
  db: Db,
  filter: {
    readonly customerId?: string | undefined;
    readonly agentId?: string | undefined;
    readonly before?: string | undefined;
  },
  limit: number,
): Promise<CommandRow[]> {
  return db.query
    .select()
    .from(commands)
    .where(
      and(
        filter.customerId === undefined ? undefined : eq(commands.customerId, filter.customerId),
        filter.agentId === undefined ? undefined : eq(commands.agentId, filter.agentId),
        filter.before === undefined ? undefined : lt(commands.id, filter.before),
      ),
    )
    .orderBy(desc(commands.id))
    .limit(limit);
}

/** Keeps the first answer of this agent's command: a second changes nothing. */
export const answerCommand = (
  db: Db,
  { id, agentId }: Pick<CommandRow, "id" | "agentId">,
  answer: Pick<CommandRow, "answeredAt" | "ok" | "code" | "reason" | "result">,
) =>
  db.query
    .update(commands)
    .set(answer)
    .where(and(eq(commands.id, id), eq(commands.agentId, agentId), isNull(commands.answeredAt)));
