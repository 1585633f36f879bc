import { sleep } from "#lib/clock";
import { chooseSuite } from "#lib/crypto";
import { backOffMs } from "#lib/delivery";
import { asFault, Fault } from "#lib/fault";
import type { Log } from "#lib/log";
import { hostFacts, onSignal, systemClock, systemRandom } from "#lib/runtime";
import { adjustableLog } from "../adjustable-log.ts";
import { openAgentStore, openNetwork } from "../agent-store.ts";
import { createMercury } from "../app.ts";
import type { AgentConfig } from "../config.ts";
import { lockData } from "../data-lock.ts";
import { enroll } from "../enrollment/enroll.ts";
import { SiteFile } from "../site/site-file.ts";
import type { Store } from "../store/open-store.ts";
import { agentVersion } from "../version.ts";
import { givenToken } from "./token.ts";

const enrollRetry = { firstMs: 1_000, maxMs: 60_000 };

/** What `run` adds to the site's own list. */
export interface RunAllowances {
  readonly hosts: readonly string[];
  readonly directories: readonly string[];
}

/** `mercury run`: until SIGTERM or SIGINT. Fault `conflict` when another Mercury runs on this data directory. */
export async function runCommand(config: AgentConfig, allowances: RunAllowances): Promise<void> {
  const { log, setLevel: setLogLevel } = adjustableLog(config.logLevel, config.logFormat);
  const ending = new AbortController();
  onSignal(["SIGTERM", "SIGINT"], () => ending.abort(new Fault("closed", "asked to end")));
  using _lock = lockData(config, "see `mercury status`");
  const siteFile = new SiteFile(config.siteFile);
  await siteFile.add(allowances.hosts, allowances.directories);
  const suite = await chooseSuite();
  const surroundings = { suite, random: systemRandom, clock: systemClock };
  const token = await givenToken(config);
  const opened = await openAgentStore(config, surroundings, { create: token !== undefined });
  if (opened === undefined) throw notEnrolled();
  await using store = opened.store;
  if (opened.key.source === "file")
    log.warn("the key of the store lies in a file: keep it apart from backups of the data", { file: config.keyFile });
  if (!(await enrollFirst(config, store, token, log, ending.signal))) return;
  await using _mercury = await createMercury({ ...surroundings, config, store, siteFile, log, setLogLevel });
  log.info("running", { data: config.dataDirectory, version: agentVersion });
  await new Promise<void>((resolve) => {
    if (ending.signal.aborted) resolve();
    ending.signal.addEventListener("abort", () => resolve(), { once: true });
  });
  log.info("ending");
}

function notEnrolled(): Fault {
  return new Fault("not_found", "not enrolled: run `mercury enroll`, or give MERCURY_TOKEN or MERCURY_TOKEN_FILE");
}

/** Redeems a given token where there is no enrollment yet; tries until it is told no. False when asked to end before. */
async function enrollFirst(
  config: AgentConfig,
  store: Store,
  given: string | undefined,
  log: Log,
  signal: AbortSignal,
): Promise<boolean> {
  const enrollment = await store.cloud.enrollment();
  if (enrollment?.agentId != null) return true;
  const token = given ?? enrollment?.token ?? undefined;
  if (token === undefined || token === "") throw notEnrolled();
  const { platform, hostname } = hostFacts();
  const deps = {
    store,
    suite: await chooseSuite(),
    random: systemRandom,
    clock: systemClock,
    network: await openNetwork(config),
    host: { version: agentVersion, platform, hostname },
    allowInsecure: config.allowInsecure,
  };
  for (let attempt = 0; !signal.aborted; attempt++) {
    try {
      const { agentId, gateway } = await enroll(deps, token);
      log.info("enrolled", { agent: agentId, gateway });
      return true;
    } catch (error) {
      const fault = asFault(error, "internal");
      if (fault.entry.scope !== "passing" && fault.code !== "limited") throw fault;
      const delayMs = backOffMs(attempt, enrollRetry, Math.random());
      log.warn("not enrolled yet", { code: fault.code, reason: fault.message, nextTryMs: Math.round(delayMs) });
      await sleep(systemClock, delayMs, { signal }).catch(() => undefined); // asked to end: the loop sees it
    }
  }
  return false;
}
