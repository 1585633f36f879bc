import { z } from "zod";
import { type Bytes, concat, decodeCbor, encodeCbor, fromUtf8, hex, readUint64, uint64, utf8 } from "#lib/bytes";
import { Fault, type FaultCode, isFaultCode } from "#lib/fault";
import { identifierSchema, nameSchema } from "#lib/session";

/** Names a pair between two replicas: 16 random bytes, as hex digits in the maps. */
export const tokenBytes = 16;

const offerSchema = z.strictObject({
  /** Replica that asks, and where its answer goes. */
  replica: identifierSchema,
  from: identifierSchema,
  customerId: nameSchema,
  agentId: nameSchema,
  to: identifierSchema,
  offered: z.array(z.string().max(32)).min(1).max(4),
  binding: z.instanceof(Uint8Array).refine((bytes) => bytes.length === 16),
});

/** What a replica asks another to offer to one of its tunnels. */
export type RemoteOffer = z.infer<typeof offerSchema>;

/** What one replica of Nexus says to another: kind 1 ‖ token 16 ‖ body. */
export type RelayMessage =
  | { readonly kind: "offer"; readonly token: string; readonly offer: RemoteOffer }
  /** `code` undefined: the tunnel accepts. */
  | { readonly kind: "answer"; readonly token: string; readonly code: FaultCode | undefined }
  /** A relay message, with room for the id of the tunnel that it goes to. */
  | { readonly kind: "data"; readonly token: string; readonly message: Bytes }
  /** How many bytes of data this replica has taken over from the broker, from the beginning. */
  | { readonly kind: "taken"; readonly token: string; readonly bytes: number }
  | { readonly kind: "close"; readonly token: string; readonly code: FaultCode };

const kinds = { offer: 1, answer: 2, data: 3, taken: 4, close: 5 } as const;
const headBytes = 1 + tokenBytes;

export const relayMessages = {
  offer: (token: Bytes, offer: RemoteOffer) => concat(head(kinds.offer), token, encodeCbor(offer)),
  answer: (token: Bytes, code: FaultCode | undefined) => concat(head(kinds.answer), token, utf8(code ?? "")),
  data: (token: Bytes, message: Bytes) => concat(head(kinds.data), token, message),
  taken: (token: Bytes, bytes: number) => concat(head(kinds.taken), token, uint64(bytes)),
  close: (token: Bytes, code: FaultCode) => concat(head(kinds.close), token, utf8(code)),
};

/** The message in `bytes`; `data` is a view of them. Fault `malformed`. */
export function readRelayMessage(bytes: Bytes): RelayMessage {
  if (bytes.length < headBytes) throw new Fault("malformed", "not a message between replicas");
  const token = hex(bytes.subarray(1, headBytes));
  const body = bytes.subarray(headBytes);
  switch (bytes[0]) {
    case kinds.offer:
      return { kind: "offer", token, offer: offerSchema.parse(decodeCbor(body)) };
    case kinds.answer:
      return { kind: "answer", token, code: body.length === 0 ? undefined : codeOf(body) };
    case kinds.data:
      return { kind: "data", token, message: body };
    case kinds.taken:
      return { kind: "taken", token, bytes: readUint64(body, 0) };
    case kinds.close:
      return { kind: "close", token, code: codeOf(body) };
    default:
      throw new Fault("malformed", "not a message between replicas");
  }
}

function head(kind: number): Bytes {
  return new Uint8Array([kind]);
}

function codeOf(body: Bytes): FaultCode {
  const text = fromUtf8(body);
  return isFaultCode(text) ? text : "closed";
}
