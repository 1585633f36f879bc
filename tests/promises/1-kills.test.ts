import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { needs } from "../support/needs.ts";
import { runKills } from "./kills/run-kills.ts";
import { chosenSeed, seededRandom } from "./seed.ts";

setDefaultTimeout(30_000);

const kills = 12;
const timeoutMs = 240_000;

/** Promise 1: nothing acknowledged is lost, nothing is applied twice, whenever one process is killed. */
function survives(broker: "embedded" | "nats"): void {
  test(
    `${kills} kills under load: nothing lost, nothing twice, everything in order`,
    async () => {
      const seed = chosenSeed();
      console.log(`promise 1, ${broker}: PROMISES_SEED=${seed}`);
      const report = await runKills({ broker, kills, random: seededRandom(seed), tell: console.log });
      console.table(report.flows);
      expect(report.problems).toEqual([]);
      expect(Object.values(report.kills).reduce((sum, count) => sum + count, 0)).toBe(kills);
      for (const { arrived, name } of report.flows) expect([name, arrived > kills]).toEqual([name, true]);
    },
    timeoutMs,
  );
}

describe("kills, one process with the embedded broker", () => survives("embedded"));
needs("nats-server", "apt-get install nats-server")("kills, NATS and a process for each program", () =>
  survives("nats"),
);
