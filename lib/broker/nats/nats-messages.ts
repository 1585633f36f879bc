import type { Bytes } from "#lib/bytes";
import type { Broker } from "../broker.ts";
import { aboutOf, heardSubject, subjectOf } from "../subjects.ts";
import type { NatsBrokerOptions } from "./nats-broker.ts";
import { NatsLink } from "./nats-link.ts";

/** Plain messages alone, on a connection of their own: what is slow there never holds delivery up (DESIGN §5). */
export type PlainMessages = Pick<Broker, "send" | "listen">;

/** Connects; looks at no stream. Fault `broker` when nobody answers. */
export async function natsMessages(options: NatsBrokerOptions): Promise<PlainMessages & AsyncDisposable> {
  const link = await NatsLink.open({ ...options, requestTimeoutMs: options.requestTimeoutMs ?? 5_000 });
  return {
    send: (topic, bytes) => link.send(subjectOf(topic), bytes),
    listen: (to, hear) =>
      link.subscribe(heardSubject(to), (message) => {
        hear(message.data.slice() as Bytes, aboutOf(message.subject)); // slice() copies into a buffer of its own
      }),
    [Symbol.asyncDispose]: () => link.close(),
  };
}
