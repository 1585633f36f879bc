import type { Broker } from "#lib/broker";
import { type Bytes, decodeJson } from "#lib/bytes";
import type { Clock } from "#lib/clock";
import { revocationsAnswerSchema } from "#lib/session";
import type { AuthorityView } from "#lib/statement";
import type { RevocationList } from "./revocation-list.ts";
import type { RevocationSources } from "./revocation-watch.ts";
import { bytesOf, type SolarisClient } from "./solaris-client.ts";

/** Where the list comes from. */
export interface SourceParts {
  readonly broker: Pick<Broker, "get">;
  readonly solaris: Pick<SolarisClient, "revocations">;
  readonly list: RevocationList;
  readonly clock: Clock;
  authority(): AuthorityView;
}

/** The list's last value in the broker, believed for its signature alone, and Solaris behind it. */
export function revocationSources({ broker, solaris, list, clock, authority }: SourceParts): RevocationSources {
  async function offer(statement: string, chain: Bytes): Promise<void> {
    const view = authority();
    await view.offer(chain, clock.now());
    await list.take(statement, view.identity);
  }
  return {
    async broker() {
      const value = await broker.get({ kind: "revocations" });
      const answer = revocationsAnswerSchema.safeParse(value === undefined ? undefined : jsonOrUndefined(value.bytes));
      if (!answer.success) return undefined; // none, or not one: Solaris is asked
      const { number, statement, authority: chain } = answer.data;
      if (number > list.number) await offer(statement, bytesOf(chain)).catch(() => undefined); // not proved: Solaris is asked
      return number;
    },
    async solaris() {
      const { statement, authority: chain } = await solaris.revocations();
      await offer(statement, bytesOf(chain));
    },
  };
}

function jsonOrUndefined(bytes: Uint8Array): unknown {
  try {
    return decodeJson(bytes);
  } catch {
    return undefined; // judged by the schema
  }
}
