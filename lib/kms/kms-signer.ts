import type { Signer } from "#lib/statement";
import type { Kms } from "./kms.ts";

/** A key of a KMS as signer of statements; `kid` = hash of the identity change that has its public half. */
export function kmsSigner(kms: Pick<Kms, "sign">, name: string, kid: string): Signer {
  return { kid, sign: (message) => kms.sign(name, message) };
}
