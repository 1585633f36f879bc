/** Identities: chains of signed key changes, and what their holders can do with them (PROTOCOL §1, §2). Layer 1. */
export type { IdentityChange } from "./change.ts";
export {
  beginIdentity,
  type ChangeKeys,
  type ChangeTime,
  continueIdentity,
  createIdentity,
  extendIdentity,
  type OwnIdentity,
} from "./create-identity.ts";
export { type NodeKeys, nodeKeys } from "./node-keys.ts";
export { type Recipient, recipientOf, seal, unsealedText } from "./seal.ts";
export { decodeSecrets, encodeSecrets, type IdentitySecrets, withoutFormer } from "./secrets.ts";
export { makeUnseal, sealedKid, type Unseal } from "./unseal.ts";
export { isExtension, type VerifiedIdentity } from "./verified-identity.ts";
export { checkInDate, type IdentityExpectation, verifyIdentity } from "./verify-identity.ts";
