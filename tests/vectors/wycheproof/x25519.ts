import { z } from "zod";
import type { Bytes } from "#lib/bytes";
import type { CryptoSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import { hexField, parseFields } from "../fields.ts";
import { demandSame, Mismatch } from "../verdict.ts";
import type { GroupRunner } from "../wycheproof-file.ts";
import { caseRunner, demandVerdict } from "./case.ts";

const test = z.object({ public: hexField, private: hexField, shared: hexField });

/** X25519 with raw keys. A shared secret of zeros must be refused whatever the file says of it. */
export const x25519: GroupRunner = (group) => {
  const parsed = parseFields(z.object({ curve: z.string() }), group);
  const curve = "value" in parsed ? parsed.value.curve.toLowerCase() : "no curve";
  if (curve !== "curve25519" && curve !== "x25519") return { notApplicable: curve };
  return caseRunner(test, async (suite, { public: peer, private: secret, shared }, about) => {
    const agreed = await agree(suite, secret, peer);
    if (agreed?.every((byte) => byte === 0)) throw new Mismatch("gave an all-zero secret");
    if (shared.length > 0 && shared.every((byte) => byte === 0)) {
      if (agreed !== undefined) throw new Mismatch("gave a secret where there is only an all-zero one");
      return;
    }
    demandVerdict(about, agreed !== undefined);
    if (agreed !== undefined) demandSame("shared secret", agreed, shared);
  });
};

/** The shared secret; undefined when it was refused. */
async function agree(suite: CryptoSuite, secret: Bytes, peer: Bytes): Promise<Bytes | undefined> {
  if (secret.length !== 32) return undefined; // refused as a bug of the caller
  const key = await suite.agreementKey(secret);
  try {
    return await key.agree(peer);
  } catch (error) {
    if (error instanceof Fault && error.code === "crypto") return undefined;
    throw error;
  }
}
