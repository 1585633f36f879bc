import { z } from "zod";
import { type Bytes, decodeCbor, encodeCbor, equalBytes } from "#lib/bytes";
import type { CryptoSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import type { VerifiedIdentity } from "#lib/identity";
import { bodyBytesMax, messageStatementBytesMax } from "#lib/limits";
import { checkIssued, checkRecipient, dateClaim, idClaim, identifierClaim, nameClaim } from "./claims.ts";
import type { Signer } from "./signer.ts";
import { type Kind, readUnverified, signStatement, verifySignature } from "./statement.ts";

const messageSchema = z.strictObject({
  /** Identifier of the sender. */
  iss: identifierClaim,
  /** Identifier of the recipient. */
  sub: identifierClaim,
  agent: nameClaim,
  plugin: nameClaim,
  direction: z.enum(["up", "down"]),
  id: idClaim,
  iat: dateClaim,
  /** What stands beside the body in an unsealed message: content type, key, what it replays. */
  meta: z
    .record(z.string().max(32), z.string().max(256))
    .refine((meta) => Object.keys(meta).length <= 16, { message: "at most 16" }),
  /** At most 1 MiB. */
  body: z
    .instanceof(Uint8Array)
    .refine((body) => body.length <= bodyBytesMax)
    .transform((body): Bytes => Uint8Array.from(body)),
});

/** A sealed message inside its seal (PROTOCOL §8). */
export type MessageClaims = Readonly<z.infer<typeof messageSchema>>;

/** Claims as deterministic CBOR: as JSON the body would be base64 in base64, and a 1 MiB one would not fit a session message. */
const kind: Kind<MessageClaims> = {
  typ: "mercury-message",
  bytesMax: messageStatementBytesMax,
  encode: (claims) => encodeCbor(messageSchema.parse(claims)),
  decode: (payload) => {
    const claims = messageSchema.parse(decodeCbor(payload));
    if (!equalBytes(encodeCbor(claims), payload)) throw new TypeError("not deterministic CBOR");
    return claims;
  },
};

/** A message as compact JWS, to be sealed to its recipient. Fault `too_large`. */
export function signMessage(signer: Signer, claims: MessageClaims): Promise<string> {
  return signStatement(kind, signer, claims);
}

/** What a message holds, whoever signed it: for what was verified before. Faults: `too_large`, `statement_invalid`. */
export function readMessageUnverified(jws: string): { readonly contentType?: string; readonly body: Bytes } {
  const { meta, body } = readUnverified(kind, jws);
  const { contentType } = meta;
  return { ...(contentType === undefined ? {} : { contentType }), body: Uint8Array.from(body) };
}

/** Where a message was found, which is where it must belong. */
export interface MessagePlace {
  /** Identifier of the recipient. */
  readonly recipient: string;
  readonly agent: string;
  readonly plugin: string;
  readonly direction: "up" | "down";
}

/** What a message is verified against. */
export interface MessageExpectation {
  readonly sender: VerifiedIdentity;
  readonly place: MessagePlace;
  /** ms since 1970. */
  readonly now: number;
  /** How long ago it may have been signed. Default: it may be as old as it likes. */
  readonly ageMaxMs?: number;
  /** How long after a change was made the one before still counts, by the verifier's clock, whatever the message says. Default 0. */
  readonly formerMs?: number;
}

/**
 * The message in `jws`, by the last change of `sender`, for this place. Faults: `too_large`, `statement_invalid`, `statement_stale`,
 * `statement_expired`, `clock`; `wrong_agent` and `unknown_plugin` when it is of another lane.
 */
export async function verifyMessage(
  suite: CryptoSuite,
  jws: string,
  { sender, place, now, ageMaxMs = Number.POSITIVE_INFINITY, formerMs = 0 }: MessageExpectation,
): Promise<MessageClaims> {
  const { claims, successor } = await verifySignature(suite, kind, jws, sender);
  if (claims.iss !== sender.identifier) throw new Fault("statement_invalid", "a message that names another sender");
  if (successor !== undefined && (successor !== sender.last || now >= successor.createdMs + formerMs))
    throw new Fault("statement_stale", "a message that a superseded key has signed");
  checkRecipient(claims.sub, place.recipient);
  if (claims.direction !== place.direction) throw new Fault("statement_invalid", "a message of the other direction");
  if (claims.agent !== place.agent) throw new Fault("wrong_agent");
  if (claims.plugin !== place.plugin) throw new Fault("unknown_plugin", "a message for another plugin");
  checkIssued(claims.iat, now);
  if (claims.iat * 1_000 + ageMaxMs <= now) throw new Fault("statement_expired", "a message signed too long ago");
  return claims;
}
