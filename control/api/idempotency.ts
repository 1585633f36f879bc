import { and, eq, isNull, lt } from "drizzle-orm";
import type { MiddlewareHandler } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { equalBytes, fromUtf8, hex, utf8 } from "#lib/bytes";
import type { Clock } from "#lib/clock";
import type { CryptoSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import { idempotencyKeyLifeMs } from "#lib/limits";
import { type Db, isDuplicate, type Seals } from "../db/index.ts";
import type { ApiEnv } from "./env.ts";
import { idempotentAnswers } from "./tables.ts";

/** A first request that has not answered after this long died with its process: a repeat may run again. */
const abandonedAfterMs = 60_000;

/**
 * For a `POST` that creates: the same `Idempotency-Key` with the same body gets the first answer again (secrets shown once
 * included: only the holder of the same API key can ask), with another body Fault `idempotency_conflict`, while the first
 * still runs Fault `conflict`. Only answers below 300 are kept. Without the header it does nothing.
 */
export function idempotent(deps: {
  db: Db;
  seals: Seals;
  suite: CryptoSuite;
  clock: Clock;
}): MiddlewareHandler<ApiEnv> {
  const { db, seals, suite, clock } = deps;
  return async (context, next) => {
    const key = context.req.header("idempotency-key");
    if (key === undefined) return next();
    if (!/^[\x21-\x7e]{1,256}$/.test(key))
      throw new Fault("bad_request", "Idempotency-Key: 1 to 256 visible ASCII characters");
    const request = [context.get("principal").keyId, context.req.method, context.req.path, key].join("\n");
    const id = hex(await suite.sha256(utf8(request)));
    const bodyHash = await suite.sha256(new Uint8Array(await context.req.arrayBuffer()));
    const earlier = await reserve(id, bodyHash);
    if (earlier !== undefined)
      return context.body(earlier.answer, earlier.status, { "content-type": "application/json" });
    await next();
    await keep(id, context.res);
    return undefined;
  };

  async function reserve(id: string, bodyHash: Uint8Array<ArrayBuffer>) {
    const now = clock.now();
    const gone = and(eq(idempotentAnswers.id, id), lt(idempotentAnswers.startedAt, now - idempotencyKeyLifeMs));
    const dead = and(
      eq(idempotentAnswers.id, id),
      isNull(idempotentAnswers.status),
      lt(idempotentAnswers.startedAt, now - abandonedAfterMs),
    );
    try {
      await db.write(
        db.query.delete(idempotentAnswers).where(gone),
        db.query.delete(idempotentAnswers).where(dead),
        db.query.insert(idempotentAnswers).values({ id, bodyHash, startedAt: now }),
      );
      return undefined;
    } catch (error) {
      if (!isDuplicate(error, idempotentAnswers.id)) throw error;
    }
    const [row] = await db.query.select().from(idempotentAnswers).where(eq(idempotentAnswers.id, id));
    if (row === undefined) throw new Fault("conflict", "the first request with this key just ended; ask again");
    if (!equalBytes(row.bodyHash, bodyHash)) throw new Fault("idempotency_conflict");
    if (row.status === null || row.answer === null)
      throw new Fault("conflict", "the first request with this key still runs");
    const answer = fromUtf8(await seals.open(idempotentAnswers.answer, id, row.answer));
    return { answer, status: row.status as ContentfulStatusCode }; // below 300 and with a body, see `keep`
  }

  async function keep(id: string, response: Response): Promise<void> {
    const ours = eq(idempotentAnswers.id, id);
    if (response.status >= 300) {
      await db.write(db.query.delete(idempotentAnswers).where(ours));
      return;
    }
    const answer = await seals.seal(idempotentAnswers.answer, id, new Uint8Array(await response.clone().arrayBuffer()));
    await db.write(db.query.update(idempotentAnswers).set({ status: response.status, answer }).where(ours));
  }
}
