import { hex, utf8 } from "#lib/bytes";
import type { CryptoSuite } from "#lib/crypto";

/** The lane that a message belongs to, by name. */
export interface LaneName {
  readonly customerId: string;
  readonly agentId: string;
  readonly plugin: string;
}

/** Id of the message that `key` stands for in its lane: the same key is the same message, for ever (DESIGN §4). 32 hex digits. */
export async function messageIdOfKey(suite: CryptoSuite, lane: LaneName, key: string): Promise<string> {
  const text = [lane.customerId, lane.agentId, lane.plugin, key].join("\0");
  return hex((await suite.sha256(utf8(text))).subarray(0, 16));
}
