/** Keys that can be used and not had: the port, and its adapter over a database of our own (DESIGN §6). Layer 3. */
export type { KeyKind, Kms, KmsAudit, KmsEvent, KmsUse } from "./kms.ts";
export { kmsSigner } from "./kms-signer.ts";
export type { LocalKms } from "./local/local-kms.ts";
export { type LocalKmsOptions, openLocalKms } from "./local/open-local-kms.ts";
