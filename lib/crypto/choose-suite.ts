import { Fault } from "#lib/fault";
import { knownAnswers } from "./known-answers.ts";
import { nobleSuite } from "./noble-suite.ts";
import type { CryptoSuite } from "./suite.ts";
import { webSuite } from "./web-suite.ts";

/**
 * The first of the candidates (Web Crypto, then noble) that really performs every operation and gives the known
 * answer of each; called once at start. Fault `internal` when none does. Say in the log which one it was (`name`).
 */
export async function chooseSuite(candidates: readonly CryptoSuite[] = [webSuite, nobleSuite]): Promise<CryptoSuite> {
  const reasons: unknown[] = [];
  for (const suite of candidates) {
    try {
      await knownAnswers(suite);
      return suite;
    } catch (reason) {
      reasons.push(reason); // told below when no other candidate does
    }
  }
  const text = reasons.map((reason) => (reason instanceof Error ? reason.message : "unknown")).join("; ");
  throw new Fault("internal", `no cryptography that gives known answers: ${text}`, { cause: reasons });
}
