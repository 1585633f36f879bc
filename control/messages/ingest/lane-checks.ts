import type { FaultCode } from "#lib/fault";
import type { Statement } from "#lib/runtime";
import type { UpMessage } from "#lib/session";
import { type CheckReceived, compileReceiveSchema } from "./receive-schema.ts";
import { makeSealedCheck, type SealedCheckDeps } from "./sealed-check.ts";

interface Known {
  readonly version: number;
  readonly check: CheckReceived;
}

/** Why a message is not taken, or what is written with it. */
export type Checked = { readonly code: FaultCode; readonly reason: string } | { readonly also: readonly Statement[] };

/** Looks at a message of a lane's data. */
export type CheckMessage = (message: UpMessage) => Promise<Checked>;

/** The checks of these lanes, for those that have one; asked anew for every group. */
export type LaneChecks = (lanes: readonly number[]) => Promise<ReadonlyMap<number, CheckMessage>>;

interface CheckedLane {
  readonly lane: number;
  readonly agentId: string;
  readonly plugin: string;
  readonly version: number;
  readonly hasSchema: number;
  /** JSON of the settings; null = not sealed. */
  readonly sealing: string | null;
}

const rememberedMax = 10_000;

/** One query for a whole group, so that a changed plugin counts at once; a schema is compiled once per version. */
export function makeLaneChecks(deps: SealedCheckDeps): LaneChecks {
  const { db } = deps;
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

  async function schemaCheck({ lane, version }: CheckedLane): Promise<CheckMessage> {
    const last = known.get(lane);
    const check = last?.version === version ? last.check : await compile(lane, version);
    return async ({ body }) => {
      const reason = check(body);
      return reason === undefined ? { also: [] } : { code: "invalid", reason };
    };
  }

  return async (lanes) => {
    const rows = await db.read<CheckedLane>(
      `SELECT n.id AS lane, n.agent_id AS agentId, n.plugin, p.version, p.receive_schema IS NOT NULL AS hasSchema, p.sealing
        FROM lanes n JOIN plugins p ON p.agent_id = n.agent_id AND p.name = n.plugin
        WHERE n.id IN (SELECT value FROM json_each(?)) AND (p.receive_schema IS NOT NULL OR p.sealing IS NOT NULL)`,
      [JSON.stringify(lanes)],
    );
    const checks = new Map<number, CheckMessage>();
    for (const row of rows) {
      const { consumer } =
        row.sealing === null ? { consumer: null } : (JSON.parse(row.sealing) as { consumer: string | null }); // as the plugin's row was written
      checks.set(
        row.lane,
        row.sealing === null ? await schemaCheck(row) : await makeSealedCheck(deps, { ...row, consumer }),
      );
    }
    return checks;
  };
}
