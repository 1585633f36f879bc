import { and, eq, gte, lt } from "drizzle-orm";
import { decodeJson, encodeJson, equalBytes, hex, type JsonValue, utf8 } from "#lib/bytes";
import type { Clock } from "#lib/clock";
import type { CryptoSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import { idempotencyKeyLifeMs } from "#lib/limits";
import type { Db, Query, Seals } from "../db/index.ts";
import type { ApiContext } from "./env.ts";
import { idempotentAnswers } from "./tables.ts";

/** What belongs into the same write as the act that made `made`: its statements go behind those of the act. */
export type Keep<Made> = (made: Made) => Promise<readonly Query[]>;

/** For an act that nobody repeats by key. */
export const keepNothing: Keep<unknown> = async () => [];

/** The OpenAPI parameter of every operation that runs its act through `once`. */
export const idempotencyKeyParameter = {
  name: "Idempotency-Key",
  in: "header" as const,
  required: false,
  description:
    "1 to 256 visible ASCII characters. The first answer is kept with what it tells of, in one write: for 24 h the same API key gets it again for the same path, key and body, and nothing is done twice, whatever ended the first request. That goes for what is shown once, too. With another body: 409 `idempotency_conflict`. A refused request leaves nothing behind.",
  schema: { type: "string" as const, minLength: 1, maxLength: 256 },
};

interface OnceDeps {
  readonly db: Db;
  readonly seals: Seals;
  readonly suite: CryptoSuite;
  readonly clock: Clock;
}

/**
 * Runs a creating act once per `Idempotency-Key`, and resolves with what it gave to `keep`. The key is a unique row of the act's
 * own write, with what was made (sealed: it may be a secret that is shown once; only the holder of the same API key can ask), so
 * there is no moment at which one of them stands alone. A repeat resolves with that; two at the same time make one.
 * Faults: `bad_request` (no good key), `idempotency_conflict` (another body), and those of the act. Without the header: the act.
 */
export async function once<Made>(
  { db, seals, suite, clock }: OnceDeps,
  context: ApiContext,
  act: (keep: Keep<Made>) => Promise<unknown>,
): Promise<Made> {
  const key = context.req.header("idempotency-key");
  let kept: { readonly made: Made } | undefined;
  const demandKept = () => {
    if (kept === undefined) throw new TypeError("an act that keeps nothing can't be done once");
    return kept.made;
  };
  if (key === undefined) {
    await act(async (made) => {
      kept = { made };
      return [];
    });
    return demandKept();
  }
  if (!/^[\x21-\x7e]{1,256}$/.test(key))
    throw new Fault("bad_request", "Idempotency-Key: 1 to 256 visible ASCII characters");
  const request = [context.get("principal").keyId, context.req.method, context.req.path, key].join("\n");
  const id = hex(await suite.sha256(utf8(request)));
  const bodyHash = await suite.sha256(new Uint8Array(await context.req.arrayBuffer()));
  const oldest = clock.now() - idempotencyKeyLifeMs;

  async function earlier(): Promise<{ readonly made: Made } | undefined> {
    const ours = and(eq(idempotentAnswers.id, id), gte(idempotentAnswers.at, oldest));
    const [row] = await db.query.select().from(idempotentAnswers).where(ours);
    if (row === undefined) return undefined;
    if (!equalBytes(row.bodyHash, bodyHash)) throw new Fault("idempotency_conflict");
    return { made: decodeJson(await seals.open(idempotentAnswers.answer, id, row.answer)) as Made }; // what was kept below
  }

  const keep: Keep<Made> = async (made) => {
    kept = { made };
    const answer = await seals.seal(idempotentAnswers.answer, id, encodeJson(made as JsonValue)); // it is answered as JSON
    return [
      db.query.delete(idempotentAnswers).where(and(eq(idempotentAnswers.id, id), lt(idempotentAnswers.at, oldest))),
      db.query.insert(idempotentAnswers).values({ id, bodyHash, at: clock.now(), answer }),
    ];
  };

  const first = await earlier();
  if (first !== undefined) return first.made;
  try {
    await act(keep);
    return demandKept();
  } catch (error) {
    // Whatever stood in the way (this very row, a name that is taken) may be the work of a twin that was faster.
    const twin = error instanceof Fault ? await earlier() : undefined;
    if (twin === undefined) throw error;
    return twin.made;
  }
}
