import { version } from "../package.json" with { type: "json" };

/** Version of this program, as the console shows it. */
export const agentVersion: string = version;
