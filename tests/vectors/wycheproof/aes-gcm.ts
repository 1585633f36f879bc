import { z } from "zod";
import { type Bytes, concat } from "#lib/bytes";
import type { AeadKey } from "#lib/crypto";
import { Fault } from "#lib/fault";
import { hexField, parseFields } from "../fields.ts";
import { demandSame } from "../verdict.ts";
import type { GroupRunner } from "../wycheproof-file.ts";
import { caseRunner, demandVerdict } from "./case.ts";

const groupFields = z.object({ keySize: z.number(), ivSize: z.number(), tagSize: z.number() });
const test = z.object({ key: hexField, iv: hexField, aad: hexField, msg: hexField, ct: hexField, tag: hexField });

/** AES-GCM with a 256-bit key, a 96-bit nonce and a 128-bit tag: what records use; no other size exists here. */
export const aesGcm: GroupRunner = (group, algorithm) => {
  if (algorithm !== "AESGCM") return { notApplicable: `AEAD ${algorithm}` };
  const parsed = parseFields(groupFields, group);
  if ("value" in parsed) {
    const { keySize, ivSize, tagSize } = parsed.value;
    if (keySize !== 256) return { notApplicable: `AES-GCM with a key of ${keySize} bits` };
    if (ivSize !== 96) return { notApplicable: `AES-GCM with a nonce of ${ivSize} bits` };
    if (tagSize !== 128) return { notApplicable: `AES-GCM with a tag of ${tagSize} bits` };
  }
  return caseRunner(test, async (suite, { key, iv, aad, msg, ct, tag }, about) => {
    const aead = await suite.aeadKey(key);
    const opened = await open(aead, iv, aad, concat(ct, tag));
    demandVerdict(about, opened !== undefined);
    if (opened !== undefined) demandSame("plaintext", opened, msg);
    if (about.result === "valid") demandSame("ciphertext", await aead.seal(iv, aad, msg), concat(ct, tag));
  });
};

/** The plaintext; undefined when it was refused. */
async function open(aead: AeadKey, iv: Bytes, aad: Bytes, sealed: Bytes): Promise<Bytes | undefined> {
  try {
    return await aead.open(iv, aad, sealed);
  } catch (error) {
    if (error instanceof Fault && error.code === "crypto") return undefined;
    throw error;
  }
}
