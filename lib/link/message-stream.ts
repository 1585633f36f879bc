import type { z } from "zod";
import { type Bytes, type CborValue, concat, decodeCbor, encodeCbor, uint32 } from "#lib/bytes";
import { asFault, Fault } from "#lib/fault";
import { sessionMessageBytesMax } from "#lib/limits";
import type { MuxStream, StreamSink } from "#lib/mux";
import { MessageGatherer } from "./message-gatherer.ts";

/** Messages over a stream: each a 4-byte big-endian length and that many bytes of deterministic CBOR (PROTOCOL §7). */
export interface MessageStream<Out, In> {
  readonly stream: MuxStream;
  /**
   * Sends one message that fits the schema of this direction: anything else is a bug here (TypeError). Resolves when the
   * stream takes more. Rejects like `MuxStream.write`; Fault `too_large` past `sessionMessageBytesMax`.
   */
  send(message: Out): Promise<void>;
  /**
   * Messages as they come; ends after the peer's `fin`. Throws Fault `malformed`, `invalid` or `too_large` for what is no
   * message of the schema, after resetting the stream with that code; `stream_reset` or the link's fault otherwise.
   */
  receive(): AsyncIterableIterator<In>;
  /** Instead of `receive`: each message goes to `taker` as it comes, which must not make the peer wait. */
  deliver(taker: MessageTaker<In>): void;
  /** Says that no message follows. */
  end(): void;
}

/** Who gets the messages of a stream. */
export interface MessageTaker<In> {
  message(message: In): void;
  /** No more comes: undefined after the peer's `fin`, else as `receive` throws. Once. */
  ended(fault: Fault | undefined): void;
}

/** A message stream that sends what fits `outgoing` and takes what fits `incoming`. */
export function messageStream<Out, In>(
  stream: MuxStream,
  { outgoing, incoming }: { readonly outgoing: z.ZodType<Out>; readonly incoming: z.ZodType<In> },
): MessageStream<Out, In> {
  return new CborMessageStream(stream, outgoing, incoming);
}

/** A class, not closures: a gateway holds three of them for each of thousands of sessions. */
class CborMessageStream<Out, In> implements MessageStream<Out, In> {
  readonly stream: MuxStream;
  readonly #outgoing: z.ZodType<Out>;
  readonly #incoming: z.ZodType<In>;

  constructor(stream: MuxStream, outgoing: z.ZodType<Out>, incoming: z.ZodType<In>) {
    this.stream = stream;
    this.#outgoing = outgoing;
    this.#incoming = incoming;
  }

  async send(message: Out): Promise<void> {
    const checked = this.#outgoing.safeParse(message);
    if (!checked.success) throw new TypeError(`a message that does not fit its schema: ${pathsOf(checked.error)}`);
    await writeMessage(this.stream, checked.data);
  }

  receive(): AsyncIterableIterator<In> {
    return receiveFrom(this.stream, this.#incoming);
  }

  deliver(taker: MessageTaker<In>): void {
    this.stream.flowInto(new Delivery(this.stream, this.#incoming, taker));
  }

  end(): void {
    this.stream.end();
  }
}

/** Cuts what comes into messages and hands them on. */
class Delivery<In> implements StreamSink {
  readonly #stream: MuxStream;
  readonly #schema: z.ZodType<In>;
  readonly #taker: MessageTaker<In>;
  readonly #gatherer = new MessageGatherer();
  #over = false;

  constructor(stream: MuxStream, schema: z.ZodType<In>, taker: MessageTaker<In>) {
    this.#stream = stream;
    this.#schema = schema;
    this.#taker = taker;
  }

  data(piece: Bytes): void {
    if (this.#over) return;
    this.#gatherer.add(piece);
    for (let body = this.#cut(); body !== undefined && !this.#over; body = this.#cut()) this.#hand(body);
  }

  ended(): void {
    const fault = caught(() => this.#gatherer.demandEmpty());
    if (fault === undefined) this.#end(undefined);
    else this.#refuse(fault);
  }

  failed(fault: Fault): void {
    this.#end(fault);
  }

  #cut(): Bytes | undefined {
    let body: Bytes | undefined;
    const fault = caught(() => {
      body = this.#gatherer.next();
    });
    if (fault !== undefined) this.#refuse(fault);
    return body;
  }

  #hand(body: Bytes): void {
    let message: { readonly value: In } | undefined;
    const fault = caught(() => {
      message = { value: parse(body, this.#schema) };
    });
    if (message === undefined) this.#refuse(fault ?? new Fault("malformed"));
    else this.#taker.message(message.value);
  }

  #refuse(fault: Fault): void {
    this.#end(fault); // before the reset, which comes back here as the stream's own end
    this.#stream.reset(fault.code);
  }

  #end(fault: Fault | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#taker.ended(fault);
  }
}

/** The Fault that `act` throws. */
function caught(act: () => void): Fault | undefined {
  try {
    act();
    return undefined;
  } catch (error) {
    return asFault(error, "malformed");
  }
}

/** Below this a message is put behind its length in one piece; above, copying it costs more than a second piece. */
const onePieceBytes = 4_096;

async function writeMessage(stream: MuxStream, message: unknown): Promise<void> {
  const body = encodeCbor(withoutUndefined(message));
  if (body.length > sessionMessageBytesMax) throw new Fault("too_large", "a message longer than a stream carries");
  if (body.length <= onePieceBytes) return stream.write(concat(uint32(body.length), body));
  const prefix = stream.write(uint32(body.length)); // not waited for: nothing may come between the two
  await Promise.all([prefix, stream.write(body)]);
}

async function* receiveFrom<In>(stream: MuxStream, schema: z.ZodType<In>): AsyncIterableIterator<In> {
  const gatherer = new MessageGatherer();
  for (let piece = await stream.read(); piece !== null; piece = await stream.read()) {
    gatherer.add(piece);
    for (;;) {
      const message = resetOnFault(stream, () => {
        const body = gatherer.next();
        return body === undefined ? undefined : { value: parse(body, schema) };
      });
      if (message === undefined) break;
      yield message.value;
    }
  }
  resetOnFault(stream, () => gatherer.demandEmpty());
}

function resetOnFault<T>(stream: MuxStream, act: () => T): T {
  try {
    return act();
  } catch (error) {
    const fault = asFault(error, "malformed");
    stream.reset(fault.code);
    throw fault;
  }
}

function parse<In>(body: Bytes, schema: z.ZodType<In>): In {
  let value: unknown;
  try {
    value = decodeCbor(body);
  } catch (cause) {
    throw new Fault("malformed", "a message that is no deterministic CBOR", { cause });
  }
  const checked = schema.safeParse(value);
  if (!checked.success) throw new Fault("invalid", `a message that does not fit its schema: ${pathsOf(checked.error)}`);
  return checked.data;
}

/** Where a message does not fit, without what it holds. */
function pathsOf(error: z.ZodError): string {
  const paths = error.issues
    .slice(0, 5)
    .map(({ path, code }) => `${path.map(String).join(".").slice(0, 100)} (${code})`);
  return paths.join(", ");
}

/** CBOR of ours has no undefined: optional fields that are not there are left out. */
function withoutUndefined(value: unknown): CborValue {
  if (Array.isArray(value)) return value.map(withoutUndefined);
  if (value === null || typeof value !== "object" || value instanceof Uint8Array) return value as CborValue; // its schema allows nothing else
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, item]) => (item === undefined ? [] : [[name, withoutUndefined(item)]])),
  );
}
