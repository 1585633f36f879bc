/** Messages of the `peer` stream of an end-to-end channel, the same in both directions (PROTOCOL §3, §6). */

import { z } from "zod";
import { chainSchema, statementSchema } from "./fields.ts";

export const peerMessageSchema = z.discriminatedUnion("type", [
  /** The sender's credential was renewed: without it the channel ends when the one of the handshake runs out. */
  z.strictObject({
    type: z.literal("credential"),
    credential: statementSchema,
    chain: chainSchema,
    authority: chainSchema,
  }),
  /** The initiator uses the channel no more and opens nothing: close it, or say `busy`. */
  z.strictObject({ type: z.literal("rest") }),
  z.strictObject({ type: z.literal("busy") }),
]);

export type PeerMessage = z.infer<typeof peerMessageSchema>;
