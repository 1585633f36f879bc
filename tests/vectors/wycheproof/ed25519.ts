import { z } from "zod";
import { hexField, parseFields } from "../fields.ts";
import { demandSame, Mismatch } from "../verdict.ts";
import type { GroupRunner } from "../wycheproof-file.ts";
import { caseRunner, demandVerdict } from "./case.ts";

const key = z.object({ curve: z.string().default("edwards25519"), pk: hexField, sk: hexField.optional() });
/** `publicKey` in version 1, `key` in version 0, where the private key may be there as well. */
const groupFields = z.object({ publicKey: key.optional(), key: key.optional() });
const test = z.object({ msg: hexField, sig: hexField });

/** Ed25519 verification; signing too where the file has the private key. */
export const ed25519: GroupRunner = (group) => {
  const parsed = parseFields(groupFields, group);
  const found = "value" in parsed ? (parsed.value.publicKey ?? parsed.value.key) : undefined;
  if (found !== undefined && found.curve.toLowerCase() !== "edwards25519") return { notApplicable: found.curve };
  return caseRunner(test, async (suite, { msg, sig }, about) => {
    if (found === undefined) throw new Mismatch("the test group has no public key");
    demandVerdict(about, await suite.verify(found.pk, msg, sig));
    if (found.sk === undefined || found.sk.length !== 32 || about.result !== "valid") return;
    const signing = await suite.signingKey(found.sk);
    demandSame("public key", signing.publicKey, found.pk);
    demandSame("signature", await signing.sign(msg), sig);
  });
};
