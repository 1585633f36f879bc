import { type Bytes, fromUtf8, utf8 } from "#lib/bytes";
import type { Random } from "#lib/clock";
import type { CryptoSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import { type Recipient, seal, sealedKid, type Unseal, unsealedText, type VerifiedIdentity } from "#lib/identity";
import { bodyBytesMax, sealedBytesMax } from "#lib/limits";
import { numericDate } from "./claims.ts";
import { type MessageClaims, type MessageExpectation, signMessage, verifyMessage } from "./message.ts";
import { statementKid } from "./statement.ts";

/** Content type of a message whose body is a JWE around a `mercury-message` of its sender (PROTOCOL §8). */
export const sealedContentType = "application/vnd.mercury.sealed";

/** Whether a message says that its body is sealed. Its content type in the seal is its own. */
export function isSealed({ contentType }: { readonly contentType?: string | null | undefined }): boolean {
  return contentType === sealedContentType;
}

/** The lane and direction of a message. */
export interface MessageLane {
  readonly agent: string;
  readonly plugin: string;
  readonly direction: "up" | "down";
}

/** What a message is to whoever sends and takes it. */
export interface MessageContent {
  readonly id: string;
  readonly contentType?: string | undefined;
  /** Id of the message that this one replays. */
  readonly replays?: string | undefined;
  /** At most 1 MiB. */
  readonly body: Uint8Array;
}

/** A message that was opened and is its sender's. */
export interface OpenedMessage {
  readonly id: string;
  /** Identifier of the sender. */
  readonly sender: string;
  /** When it was signed, ms since 1970 in whole seconds. */
  readonly signedAtMs: number;
  readonly contentType?: string;
  readonly replays?: string;
  readonly body: Bytes;
}

/** Whoever signs messages: a node's keys, or Solaris' own for messages. */
export interface Sender {
  readonly identity: VerifiedIdentity;
  sign(message: Uint8Array): Promise<Uint8Array>;
}

/** A message signed by `sender` and sealed to `recipient`: the ASCII of a compact JWE. Fault `too_large` above 1 MiB of body. */
export async function sealMessage(
  suite: CryptoSuite,
  random: Random,
  {
    sender,
    recipient,
    lane,
    now,
  }: {
    readonly sender: Sender;
    /** Its identifier, and the change that it is sealed to. */
    readonly recipient: Recipient & { readonly identifier: string };
    readonly lane: MessageLane;
    /** ms since 1970. */
    readonly now: number;
  },
  { id, contentType, replays, body }: MessageContent,
): Promise<Bytes> {
  if (body.length > bodyBytesMax) throw new Fault("too_large", "a body above its limit");
  const meta = {
    ...(contentType === undefined ? {} : { contentType }),
    ...(replays === undefined ? {} : { replays }),
  };
  const jws = await signMessage(
    { kid: sender.identity.last.hash, sign: (message) => sender.sign(message) },
    {
      ...{ iss: sender.identity.identifier, sub: recipient.identifier, ...lane, id, iat: numericDate(now), meta },
      body: Uint8Array.from(body),
    },
  );
  return utf8(await seal(suite, random, recipient, jws));
}

/**
 * Opens a sealed body and checks all that its sender signed. `id` = the one it travels under, undefined where it travels under none.
 * Faults: those of `unseal` and `verifyMessage`; `statement_invalid` when it is of no known sender or carries another id; `revoked`.
 */
export async function openMessage(
  suite: CryptoSuite,
  body: Uint8Array,
  {
    unseal,
    senders,
    isRevoked,
    recipient,
    lane,
    id,
    ...bounds
  }: {
    readonly unseal: Unseal;
    readonly senders: readonly VerifiedIdentity[];
    readonly isRevoked: (identifier: string) => boolean;
    /** Identifier of whoever opens it. */
    readonly recipient: string;
    readonly lane: MessageLane;
    readonly id: string | undefined;
  } & Pick<MessageExpectation, "now" | "ageMaxMs" | "formerMs">,
): Promise<OpenedMessage> {
  const jws = unsealedText(await unseal(readSealedBody(body).jwe));
  const kid = statementKid(jws);
  const sender = senders.find(({ changes }) => changes.some(({ hash }) => hash === kid));
  if (sender === undefined) throw new Fault("statement_invalid", "signed by nobody who may send here");
  if (isRevoked(sender.identifier)) throw new Fault("revoked", "the sender of a message was revoked");
  const claims = await verifyMessage(suite, jws, { sender, place: { recipient, ...lane }, ...bounds });
  if (id !== undefined && claims.id !== id)
    throw new Fault("statement_invalid", "a message under an id that is not its own");
  return opened(claims);
}

/** The JWE that a sealed message's body is, and the identity change it is sealed to. Faults: `too_large`, `malformed`. */
export function readSealedBody(body: Uint8Array): { readonly jwe: string; readonly kid: string } {
  if (body.length > sealedBytesMax) throw new Fault("too_large", "a sealed message above its limit");
  let jwe: string;
  try {
    jwe = fromUtf8(body);
  } catch (cause) {
    throw new Fault("malformed", "not a sealed message", { cause });
  }
  return { jwe, kid: sealedKid(jwe) };
}

function opened({ id, iss, iat, meta, body }: MessageClaims): OpenedMessage {
  const { contentType, replays } = meta;
  return {
    id,
    sender: iss,
    signedAtMs: iat * 1_000,
    ...(contentType === undefined ? {} : { contentType }),
    ...(replays === undefined ? {} : { replays }),
    body: Uint8Array.from(body),
  };
}
