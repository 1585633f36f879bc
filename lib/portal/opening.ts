import { z } from "zod";
import { type Bytes, type CborValue, concat, decodeCbor, encodeCbor } from "#lib/bytes";
import type { Clock } from "#lib/clock";
import { Fault } from "#lib/fault";
import { portalOpeningBytesMax, portalOpeningTimeoutMs } from "#lib/limits";
import type { MuxStream } from "#lib/link";

const endSchema = z.strictObject({ host: z.string().min(2).max(64), port: z.int().min(0).max(65_535) });

const openingSchema = z.strictObject({
  /** Id of the portal. */
  portal: z.string().min(1).max(64),
  /** Whose connection it is, as the inlet says, and where it was taken: for a service that wants to know. */
  from: endSchema.optional(),
  to: endSchema.optional(),
});

/** What an inlet says at the beginning of a stream: 2-byte length and deterministic CBOR. All else on the stream is the connection's. */
export type PortalOpening = z.infer<typeof openingSchema>;

/** What the outlet says before the connection's own bytes; a refusal is a reset with its code instead. */
export const portalAnswer = {
  /** The opening was read and is allowed: the node is there. */
  heard: 0x01,
  /** The service has taken the connection. */
  connected: 0x02,
} as const;

export function encodeOpening(opening: PortalOpening): Bytes {
  const body = encodeCbor(opening as CborValue);
  return concat(new Uint8Array([body.length >> 8, body.length & 0xff]), body);
}

/** What a stream begins with, and the bytes behind it that came along. Faults: `malformed`, `too_large`, `timeout`; the stream's own. */
export async function readOpening(stream: MuxStream, clock: Clock): Promise<{ opening: PortalOpening; rest: Bytes }> {
  const late = Promise.withResolvers<never>();
  const cancel = clock.after(portalOpeningTimeoutMs, () => late.reject(new Fault("timeout", "no opening in time")));
  let bytes: Bytes = new Uint8Array(0);
  try {
    for (;;) {
      const length = bytes.length < 2 ? undefined : ((bytes[0] ?? 0) << 8) | (bytes[1] ?? 0);
      if (length !== undefined && length > portalOpeningBytesMax) throw new Fault("too_large", "an opening too long");
      if (length !== undefined && bytes.length >= 2 + length)
        return { opening: parse(bytes.subarray(2, 2 + length)), rest: bytes.subarray(2 + length) };
      const piece = await Promise.race([stream.read(), late.promise]);
      if (piece === null) throw new Fault("malformed", "the stream ended in its opening");
      bytes = bytes.length === 0 ? piece : concat(bytes, piece);
    }
  } finally {
    cancel();
  }
}

/** Strips what the outlet says in front of the connection's bytes. */
export class AnswerReader {
  #state: "unheard" | "heard" | "connected" = "unheard";

  get state(): "unheard" | "heard" | "connected" {
    return this.#state;
  }

  /** The connection's bytes in `bytes`. Fault `malformed`. */
  take(bytes: Bytes): Bytes {
    let at = 0;
    while (this.#state !== "connected" && at < bytes.length) {
      const said = bytes[at++];
      if (this.#state === "unheard" && said === portalAnswer.heard) this.#state = "heard";
      else if (this.#state === "heard" && said === portalAnswer.connected) this.#state = "connected";
      else throw new Fault("malformed", "not the answer of an outlet");
    }
    return at === 0 ? bytes : bytes.subarray(at);
  }
}

function parse(body: Bytes): PortalOpening {
  let value: unknown;
  try {
    value = decodeCbor(body);
  } catch (cause) {
    throw new Fault("malformed", "an opening that is no CBOR", { cause });
  }
  const parsed = openingSchema.safeParse(value);
  if (!parsed.success) throw new Fault("malformed", "an opening of another form", { cause: parsed.error });
  return parsed.data;
}
