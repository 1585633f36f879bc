/** Every kind of statement with how it is signed and verified, so that rules for all are tested on all. */
import {
  signCheckpoint,
  signCommand,
  signCredential,
  signDesired,
  signEnrollment,
  signMessage,
  signRevocation,
  verifyCheckpoint,
  verifyCommand,
  verifyCredential,
  verifyDesired,
  verifyEnrollment,
  verifyMessage,
  verifyRevocation,
} from "#lib/statement";
import {
  agent,
  authority,
  checkpoint,
  command,
  credential,
  desired,
  enrollment,
  message,
  now,
  revocation,
  suite,
} from "./world.ts";

export interface KindUnderTest {
  readonly typ: string;
  /** Signs good claims, some of them replaced. */
  readonly sign: (over?: Record<string, unknown>, signer?: typeof authority.signer) => Promise<string>;
  readonly verify: (jws: string, at?: number, signer?: typeof authority.identity) => Promise<unknown>;
  /** Claims that a statement of this kind must have. */
  readonly required: readonly string[];
  readonly sealedFor: boolean;
}

const recipient = agent.identity.identifier;
const place = { recipient, agent: "a1", plugin: "erp", direction: "down" } as const;

export const kinds: readonly KindUnderTest[] = [
  {
    typ: "mercury-credential",
    sign: (over, signer = authority.signer) => signCredential(signer, credential(over)),
    verify: (jws, at = now, signer = authority.identity) =>
      verifyCredential(suite, jws, { authority: signer, subject: agent.identity, now: at }),
    required: Object.keys(credential()),
    sealedFor: true,
  },
  {
    typ: "mercury-desired",
    sign: (over, signer = authority.signer) => signDesired(signer, desired(over)),
    verify: (jws, at = now, signer = authority.identity) =>
      verifyDesired(suite, jws, { authority: signer, recipient, now: at }),
    required: Object.keys(desired()),
    sealedFor: true,
  },
  {
    typ: "mercury-command",
    sign: (over, signer = authority.signer) => signCommand(signer, command(over)),
    verify: (jws, at = now, signer = authority.identity) =>
      verifyCommand(suite, jws, { authority: signer, recipient, now: at }),
    required: Object.keys(command()),
    sealedFor: true,
  },
  {
    typ: "mercury-revocation",
    sign: (over, signer = authority.signer) => signRevocation(signer, revocation(over)),
    verify: (jws, at = now, signer = authority.identity) =>
      verifyRevocation(suite, jws, { authority: signer, now: at }),
    required: Object.keys(revocation()),
    sealedFor: false,
  },
  {
    typ: "mercury-checkpoint",
    sign: (over, signer = authority.signer) => signCheckpoint(signer, checkpoint(over)),
    verify: (jws, at = now, signer = authority.identity) =>
      verifyCheckpoint(suite, jws, { authority: signer, now: at }),
    required: Object.keys(checkpoint()),
    sealedFor: false,
  },
  {
    typ: "mercury-enrollment",
    sign: async (over, signer = authority.signer) => signEnrollment(signer, await enrollment(over)),
    verify: (jws, at = now, signer = authority.identity) =>
      verifyEnrollment(suite, jws, { authority: signer, tokenId: "token-1", subject: agent.identity, now: at }),
    required: Object.keys(await enrollment()),
    sealedFor: true,
  },
  {
    typ: "mercury-message",
    sign: (over, signer = authority.signer) => signMessage(signer, message(over)),
    verify: (jws, at = now, signer = authority.identity) =>
      verifyMessage(suite, jws, { sender: signer, place, now: at }),
    required: Object.keys(message()),
    sealedFor: true,
  },
];
