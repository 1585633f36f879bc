/** What the reply subject of a JetStream message tells. */
export interface AckFacts {
  readonly consumer: string;
  /** 1 = first delivery by this consumer. */
  readonly delivered: number;
  readonly streamSeq: number;
  readonly consumerSeq: number;
  /** When the server took the message, ms since 1970. */
  readonly timeMs: number;
}

/**
 * Reads `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<ns>.<pending>`, or the longer form of newer servers with
 * domain and account in front of the stream. Undefined for a subject of another form.
 */
export function ackFacts(reply: string): AckFacts | undefined {
  const parts = reply.split(".");
  if (parts[0] !== "$JS" || parts[1] !== "ACK") return undefined;
  const start = parts.length === 9 ? 3 : parts.length >= 11 ? 5 : -1;
  if (start < 0) return undefined;
  const [consumer = "", delivered, streamSeq, consumerSeq, ns = ""] = parts.slice(start);
  const facts = {
    consumer,
    delivered: Number(delivered),
    streamSeq: Number(streamSeq),
    consumerSeq: Number(consumerSeq),
    timeMs: Number(ns.slice(0, -6)),
  };
  return Number.isSafeInteger(facts.streamSeq) && Number.isSafeInteger(facts.consumerSeq) ? facts : undefined;
}
