import { z } from "zod";
import type { Broker, Unlisten } from "#lib/broker";
import { decodeCbor, encodeCbor } from "#lib/bytes";
import type { Clock } from "#lib/clock";
import { identifierSchema, nameSchema } from "#lib/session";

/** A replica that lives answers in milliseconds; one that does not within this is not there to take sessions over. */
const answerWithinMs = 500;

const questionSchema = z.strictObject({ type: z.literal("who-admits"), from: identifierSchema, gateway: nameSchema });
const answerSchema = z.strictObject({ type: z.literal("admits"), to: identifierSchema, from: identifierSchema });

/** What neighbours need from around them. */
export interface NeighbourParts {
  readonly broker: Pick<Broker, "send" | "listen">;
  readonly clock: Clock;
  /** Identifier of this replica. */
  readonly replica: string;
  /** The gateway that it is one of; undefined until Solaris has said so. */
  readonly gateway: () => string | undefined;
  /** Whether it admits agents now. */
  readonly admits: () => boolean;
}

/**
 * Other replicas of the same gateway, asked by a plain message: the lease of one that was killed stands for 15 s, and one that drains
 * or is not ready has a lease as well, but neither takes sessions over.
 */
export class Neighbours implements Disposable {
  readonly #parts: NeighbourParts;
  readonly #unlisten: Unlisten;
  readonly #asking = new Set<() => void>();

  constructor(parts: NeighbourParts) {
    this.#parts = parts;
    this.#unlisten = parts.broker.listen({ kind: "gateways" }, (bytes) => this.#hear(bytes));
  }

  /** Whether at least one admits agents now: true with the first answer, false after half a second without. */
  anyAdmits(): Promise<boolean> {
    const { broker, clock, replica: from, gateway } = this.#parts;
    const own = gateway();
    if (own === undefined) return Promise.resolve(false); // nobody was admitted here either
    return new Promise((resolve) => {
      const end = (answered: boolean) => {
        cancel();
        this.#asking.delete(heard);
        resolve(answered);
      };
      const heard = () => end(true);
      const cancel = clock.after(answerWithinMs, () => end(false));
      this.#asking.add(heard);
      broker.send({ kind: "gateways" }, encodeCbor({ type: "who-admits", from, gateway: own }));
    });
  }

  [Symbol.dispose](): void {
    this.#unlisten();
  }

  #hear(bytes: Uint8Array): void {
    const message = decodedOrUndefined(bytes);
    const { broker, replica, gateway, admits } = this.#parts;
    const question = questionSchema.safeParse(message).data;
    if (question !== undefined && question.from !== replica && question.gateway === gateway() && admits())
      broker.send({ kind: "gateways" }, encodeCbor({ type: "admits", to: question.from, from: replica }));
    const answer = answerSchema.safeParse(message).data;
    if (answer?.to === replica && answer.from !== replica) for (const heard of [...this.#asking]) heard();
  }
}

function decodedOrUndefined(bytes: Uint8Array): unknown {
  try {
    return decodeCbor(bytes);
  } catch {
    return undefined; // nonsense from the broker: no answer
  }
}
