import { z } from "zod";
import type { Bytes } from "#lib/bytes";
import { equalBytes } from "#lib/bytes";
import type { CryptoSuite } from "#lib/crypto";
import { hexField } from "../fields.ts";
import { demandSame } from "../verdict.ts";
import type { GroupRunner } from "../wycheproof-file.ts";
import { caseRunner, demandVerdict } from "./case.ts";

const test = z.object({ ikm: hexField, salt: hexField, info: hexField, size: z.number(), okm: hexField });
type HkdfTest = z.output<typeof test>;

/** HKDF-SHA-256. More than 8,160 bytes must be refused. */
export const hkdfSha256: GroupRunner = (_group, algorithm) => {
  if (algorithm !== "HKDFSHA256") return { notApplicable: algorithm };
  return caseRunner(test, async (suite, given, about) => {
    const okm = await derive(suite, given);
    const wrong = okm !== undefined && !equalBytes(okm, given.okm);
    demandVerdict(about, okm !== undefined && !(about.result === "invalid" && given.okm.length > 0 && wrong));
    if (okm !== undefined && about.result !== "invalid") demandSame("output", okm, given.okm);
  });
};

/** The output; undefined when the size was refused, which is a caller's bug there. */
async function derive(suite: CryptoSuite, { ikm, salt, info, size }: HkdfTest): Promise<Bytes | undefined> {
  try {
    return await suite.hkdfSha256(ikm, salt, info, size);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}
