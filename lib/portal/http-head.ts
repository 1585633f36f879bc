import { z } from "zod";
import { type Bytes, type CborValue, concat, decodeCbor, encodeCbor, uint32 } from "#lib/bytes";
import { Fault } from "#lib/fault";
import { httpHeadBytesMax, httpHeadersMax, httpTargetLengthMax } from "#lib/limits";

const headersSchema = z
  .array(
    z.tuple([
      z.string().regex(/^[a-z0-9!#$%&'*+.^_`|~-]{1,256}$/, "a header's name in lower case"),
      z.string().regex(/^[\t\x20-\x7e\x80-\xff]*$/, "a header's value"),
    ]),
  )
  .max(httpHeadersMax);

const requestSchema = z.strictObject({
  method: z.string().regex(/^[A-Z][A-Z0-9_-]{0,31}$/, "a method"),
  /** Path and query. */
  target: z
    .string()
    .max(httpTargetLengthMax)
    .regex(/^\/[\x21-\x7e]*$/, "a path, with a query if need be"),
  headers: headersSchema,
  /** Bytes of the body, which follow; null = as many as come before `fin`. */
  bodyBytes: z.int().min(0).nullable(),
  /** Asks for a WebSocket with one of these subprotocols; what follows are messages. */
  webSocket: z
    .strictObject({ protocols: z.array(z.string().regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/)).max(16) })
    .optional(),
});

const answerSchema = z.union([
  z.strictObject({
    status: z.int().min(200).max(599),
    headers: headersSchema,
    bodyBytes: z.int().min(0).nullable(),
  }),
  /** The WebSocket is open; what follows are messages. */
  z.strictObject({ status: z.literal(101), protocol: z.string().max(128) }),
  /** As many as may be: the next after `retryAfterMs`. */
  z.strictObject({ code: z.literal("limited"), retryAfterMs: z.int().min(0).max(3_600_000) }),
]);

/** Name (lower case) and value of one header field; several of one name stand one behind the other. */
export type HttpHeaders = readonly (readonly [name: string, value: string])[];
/** Head of a request as it travels in front of its body: no text that anyone parses, so nothing to smuggle in. */
export type HttpRequestHead = z.infer<typeof requestSchema>;
export type HttpAnswerHead = z.infer<typeof answerSchema>;

/** 4-byte length and deterministic CBOR. Fault `too_large`. */
export function encodeHead(head: HttpRequestHead | HttpAnswerHead): Bytes {
  const body = encodeCbor(head as CborValue); // fits: made of texts, numbers, arrays and null; the optional member is left out
  if (body.length > httpHeadBytesMax) throw new Fault("too_large", "the head is too large");
  return concat(uint32(body.length), body);
}

/** Reads bytes as they come. */
export interface ByteSource {
  read(): Promise<Bytes | null>;
}

/** The head of a request, and what came behind it. Faults: `malformed`, `too_large`; the source's own. */
export function readRequestHead(first: Bytes, source: ByteSource): Promise<{ head: HttpRequestHead; rest: Bytes }> {
  return readHead(first, source, requestSchema);
}

/** The same for an answer's. */
export function readAnswerHead(first: Bytes, source: ByteSource): Promise<{ head: HttpAnswerHead; rest: Bytes }> {
  return readHead(first, source, answerSchema);
}

async function readHead<T>(first: Bytes, source: ByteSource, schema: z.ZodType<T>): Promise<{ head: T; rest: Bytes }> {
  let bytes = first;
  for (;;) {
    const length = bytes.length < 4 ? undefined : new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
    if (length !== undefined && length > httpHeadBytesMax) throw new Fault("too_large", "the head is too large");
    if (length !== undefined && bytes.length >= 4 + length)
      return { head: parse(bytes.subarray(4, 4 + length), schema), rest: bytes.subarray(4 + length) };
    const piece = await source.read();
    if (piece === null) throw new Fault("malformed", "the stream ended in a head");
    bytes = bytes.length === 0 ? piece : concat(bytes, piece);
  }
}

function parse<T>(body: Bytes, schema: z.ZodType<T>): T {
  let value: unknown;
  try {
    value = decodeCbor(body);
  } catch (cause) {
    throw new Fault("malformed", "a head that is no CBOR", { cause });
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw new Fault("malformed", "a head of another form", { cause: parsed.error });
  return parsed.data;
}
