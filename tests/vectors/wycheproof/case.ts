import { z } from "zod";
import type { CryptoSuite } from "#lib/crypto";
import { parseFields } from "../fields.ts";
import { Mismatch, onSuites } from "../verdict.ts";
import type { CaseRunner } from "../wycheproof-file.ts";

/** Fields of every Wycheproof case. */
const common = z.object({
  tcId: z.number().default(0),
  comment: z.string().default(""),
  flags: z.array(z.string()).default([]),
  result: z.enum(["valid", "invalid", "acceptable"]),
});
export type Common = z.output<typeof common>;

/** A runner of cases with these fields more than the common ones. */
export function caseRunner<T>(
  fields: z.ZodType<T>,
  work: (suite: CryptoSuite, test: T, about: Common) => Promise<void>,
): CaseRunner {
  return async (test, which) => {
    const about = parseFields(common, test);
    if ("reason" in about) return { kind: "failed", name: "a case", reason: about.reason };
    const name = `case ${about.value.tcId}${about.value.comment === "" ? "" : ` (${about.value.comment})`}`;
    const own = parseFields(fields, test);
    if ("reason" in own) return { kind: "failed", name, reason: own.reason };
    return onSuites(which, name, (suite) => work(suite, own.value, about.value));
  };
}

/** Throws a Mismatch unless what was accepted fits the case's result; `acceptable` lets both pass. */
export function demandVerdict(about: Common, accepted: boolean): void {
  if (about.result === "valid" && !accepted) throw new Mismatch("refused what is valid");
  if (about.result === "invalid" && accepted) throw new Mismatch("accepted what is invalid");
}
