/** All that is signed or MACed beside identities: one sign and one verify per kind (PROTOCOL §2–5). Layer 1. */

export { makeUnseal, type Recipient, recipientOf, seal, sealedKid, type Unseal, unsealedText } from "#lib/identity";
export { type Answer, makeAnswer, verifyAnswer } from "./answer.ts";
export {
  type Attributes,
  type AttributeValue,
  attributeNameSchema,
  attributesSchema,
  attributeValueSchema,
  isReservedAttribute,
  type Role,
  roles,
} from "./attributes.ts";
export { type AuthorityOffer, type AuthorityView, createAuthorityView } from "./authority-view.ts";
export {
  type Authorization,
  type AuthorizationClaims,
  type AuthorizationRequest,
  authorizationBinding,
  checkAuthorizationAudience,
  checkAuthorizationTime,
  makeAuthorization,
  readAuthorizationUnverified,
  rememberAuthorizationUntil,
  verifyAuthorization,
  verifyAuthorizationMac,
} from "./authorization.ts";
export { type CheckpointClaims, signCheckpoint, verifyCheckpoint } from "./checkpoint.ts";
export { numericDate } from "./claims.ts";
export { type CommandClaims, signCommand, verifyCommand } from "./command.ts";
export { type Credential, signCredential, verifyCredential } from "./credential.ts";
export { type DesiredClaims, signDesired, verifyDesired } from "./desired.ts";
export { type Enrollment, type EnrollmentClaims, signEnrollment, verifyEnrollment } from "./enrollment-answer.ts";
export {
  type EnrollmentRequest,
  enrollmentSigningBytes,
  type HostFacts,
  makeEnrollmentRequest,
  openEnrollmentRequest,
} from "./enrollment-request.ts";
export {
  decodeEnrollmentToken,
  type EnrollmentToken,
  encodeEnrollmentToken,
  enrollmentSecretHash,
  verifyTokenAuthority,
} from "./enrollment-token.ts";
export {
  canUseOwn,
  checkNotBelow,
  type Freshness,
  mustWaitForList,
  noFreshness,
  raiseFreshness,
} from "./freshness.ts";
export { type HeaderKeys, headerKeys } from "./header-keys.ts";
export { type MessageClaims, type MessagePlace, readMessageUnverified, signMessage, verifyMessage } from "./message.ts";
export { type RevocationClaims, revokedIdentifiers, signRevocation, verifyRevocation } from "./revocation.ts";
export {
  isSealed,
  type MessageContent,
  type MessageLane,
  type OpenedMessage,
  openMessage,
  readSealedBody,
  type Sender,
  sealedContentType,
  sealMessage,
} from "./sealed-message.ts";
export { nodeSigner, type Signer } from "./signer.ts";
