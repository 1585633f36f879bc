import { LaneSeal } from "../../agent/lanes/lane-seal.ts";

/** The seal of a plugin that is not sealed. */
export const unsealed = (name: string): Promise<LaneSeal> => LaneSeal.make({} as never, { name }); // it asks for nothing of the node's
