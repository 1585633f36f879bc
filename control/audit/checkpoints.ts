import { hex } from "#lib/bytes";
import type { Clock } from "#lib/clock";
import { numericDate, type Signer, signCheckpoint } from "#lib/statement";
import type { Db } from "../db/index.ts";
import { insertCheckpoint, newestCheckpoint, readHead } from "./repo.ts";

export interface CheckpointDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly signer: Signer;
}

/** Signs the head of the chain if it has grown since the last checkpoint. */
export async function writeCheckpoint({ db, clock, signer }: CheckpointDeps): Promise<void> {
  const head = await readHead(db);
  if (head.number === 0 || (await newestCheckpoint(db)) === head.number) return;
  const now = clock.now();
  const claims = { number: head.number, hash: hex(head.hash), iat: numericDate(now) };
  const statement = await signCheckpoint(signer, claims);
  await db.write(insertCheckpoint(db, { number: head.number, time: now, statement }));
}
