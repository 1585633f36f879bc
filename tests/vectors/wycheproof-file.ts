import { z } from "zod";
import { parseFields } from "./fields.ts";
import { notApplicable, type SuiteName, type Verdict } from "./verdict.ts";
import { aesGcm } from "./wycheproof/aes-gcm.ts";
import { ed25519 } from "./wycheproof/ed25519.ts";
import { hkdfSha256 } from "./wycheproof/hkdf-sha256.ts";
import { hmacSha256 } from "./wycheproof/hmac-sha256.ts";
import { x25519 } from "./wycheproof/x25519.ts";

const fileFields = z.object({
  algorithm: z.string().default(""),
  testGroups: z.array(z.looseObject({ type: z.string().default(""), tests: z.array(z.unknown()) })),
});

/** What one kind of test group says of a case: an algorithm of ours, or why it is not. */
export type GroupRunner = (group: unknown, algorithm: string) => CaseRunner | { notApplicable: string };
/** Runs one case of a group. */
export type CaseRunner = (test: unknown, which: SuiteName) => Promise<Verdict>;

/** Test group type → who runs it. X25519 also comes in ASN.1, PEM and JWK, which we read nowhere. */
const runners: Readonly<Record<string, GroupRunner>> = {
  XdhComp: x25519,
  EddsaVerify: ed25519,
  AeadTest: aesGcm,
  HkdfTest: hkdfSha256,
  MacTest: hmacSha256,
};

/** A case of a Wycheproof file with the group that it is of. */
export interface WycheproofCase {
  readonly run: CaseRunner | { notApplicable: string };
  readonly test: unknown;
}

/** All cases of a file in Wycheproof's form, version 1 (version 0 differs in names that are read as well). */
export function wycheproofCases(file: unknown): { value: readonly WycheproofCase[] } | { reason: string } {
  if (typeof file === "object" && file !== null && "vectors" in file)
    return { reason: "is a Noise vector file: use `vectors noise`" };
  const parsed = parseFields(fileFields, file);
  if ("reason" in parsed) return { reason: `is no Wycheproof file: ${parsed.reason}` };
  const { algorithm, testGroups } = parsed.value;
  const plainName = algorithm.toUpperCase().replace(/[^A-Z0-9]/g, "");
  return {
    value: testGroups.flatMap((group) => {
      const runner = Object.hasOwn(runners, group.type) ? runners[group.type] : undefined;
      const run = runner?.(group, plainName) ?? { notApplicable: `test groups of type ${group.type || "none"}` };
      return group.tests.map((test) => ({ run, test }));
    }),
  };
}

/** Runs one case. */
export async function runWycheproofCase({ run, test }: WycheproofCase, which: SuiteName): Promise<Verdict> {
  return typeof run === "function" ? run(test, which) : notApplicable(run.notApplicable);
}
