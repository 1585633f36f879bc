import type { Db } from "../../db/index.ts";
import { type CheckReceived, compileReceiveSchema } from "./receive-schema.ts";

interface Known {
  readonly version: number;
  readonly check: CheckReceived;
}

/** The checks of these lanes, for those that have one. */
export type LaneChecks = (lanes: readonly number[]) => Promise<ReadonlyMap<number, CheckReceived>>;

const rememberedMax = 10_000;

/** One query for a whole group, so that a changed schema counts at once; compiled once per version of its plugin. */
export function makeLaneChecks(db: Db): LaneChecks {
  const known = new Map<number, Known>();

  async function compile(lane: number, version: number): Promise<CheckReceived> {
    const sql = `SELECT p.receive_schema AS schema FROM lanes n JOIN plugins p ON p.agent_id = n.agent_id AND p.name = n.plugin
      WHERE n.id = ?`;
    const [row] = await db.read<{ schema: string }>(sql, [lane]);
    const check = compileReceiveSchema(JSON.parse(row?.schema ?? "{}"));
    if (known.size >= rememberedMax) known.clear();
    known.set(lane, { version, check });
    return check;
  }

  return async (lanes) => {
    const rows = await db.read<{ lane: number; version: number }>(
      `SELECT n.id AS lane, p.version FROM lanes n JOIN plugins p ON p.agent_id = n.agent_id AND p.name = n.plugin
        WHERE n.id IN (SELECT value FROM json_each(?)) AND p.receive_schema IS NOT NULL`,
      [JSON.stringify(lanes)],
    );
    const checks = new Map<number, CheckReceived>();
    for (const { lane, version } of rows) {
      const last = known.get(lane);
      checks.set(lane, last?.version === version ? last.check : await compile(lane, version));
    }
    return checks;
  };
}
