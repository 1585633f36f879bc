/** Opens what Solaris keeps: key, databases, KMS, broker. */

import { type Broker, embeddedBroker, natsBroker } from "#lib/broker";
import { hex } from "#lib/bytes";
import type { CryptoSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import { type KmsAudit, type LocalKms, openLocalKms } from "#lib/kms";
import type { Log } from "#lib/log";
import { type Database, findKey, migrate, openDatabase, systemClock, systemRandom } from "#lib/runtime";
import { brokerMigrations } from "../migrations/broker/index.ts";
import { solarisMigrations } from "../migrations/solaris/index.ts";
import { countKmsUse } from "./audit/index.ts";
import { keyVariable, type SolarisConfig } from "./config.ts";
import { makeDb } from "./db/index.ts";
import { type SolarisMetrics, solarisMetrics } from "./metrics.ts";
import { hasRootKey, openRootKey, type RootKeyDeps } from "./root-key.ts";

/** All that outlives the process. Disposing closes it. */
export interface Stores extends AsyncDisposable {
  readonly database: Database;
  readonly kms: LocalKms;
  readonly metrics: SolarisMetrics;
  /** Opens the broker: only the server needs it. Closed with the rest. */
  openBroker(): Promise<Broker>;
}

/**
 * Opens the stores in the data directory, making them in an empty one; `secret` in place of what the settings lead to. Faults: `config` (no key for what is there),
 * `database_key`, `schema_newer`, `database`.
 */
export async function openStores(
  config: SolarisConfig,
  suite: CryptoSuite,
  log: Log,
  secret?: string,
): Promise<Stores> {
  await using opening = new AsyncDisposableStack();
  const { keyFor, keyEncryptionKey } = await openRootKey(
    rootKeyDeps(config, suite),
    secret ?? (await findSecret(config, log)),
  );
  const local = (name: string) => ({
    path: `${config.dataDirectory}/${name}.db`,
    commitDelayMs: config.commitDelayMs,
  });
  const encrypted = async (name: string) =>
    openDatabase({ ...local(name), encryptionKey: hex(await keyFor(`${name}.db`)) });

  const database = opening.use(
    config.database === undefined ? await encrypted("solaris") : await remote(config.database),
  );
  await migrate(database, solarisMigrations);
  const db = makeDb(database);
  const metrics = solarisMetrics(db);
  const audit: KmsAudit = async (event) => {
    metrics.kmsUsed(event.operation);
    await db.write(countKmsUse(event, systemClock.now()));
  };
  const kmsDatabase = opening.use(await encrypted("kms"));
  const kms = opening.use(
    await openLocalKms({
      suite,
      random: systemRandom,
      clock: systemClock,
      database: kmsDatabase,
      keyEncryptionKey,
      audit,
    }),
  );
  const stack = opening.move();
  return {
    database,
    kms,
    metrics,
    async openBroker() {
      const brokerLog = log.child("broker");
      if (config.nats === undefined) {
        const file = stack.use(await encrypted("broker"));
        await migrate(file, brokerMigrations);
        return stack.use(await embeddedBroker({ database: file, clock: systemClock, log: brokerLog }));
      }
      const { servers, user, password } = config.nats;
      const login = { ...(user === undefined ? {} : { user }), ...(password === undefined ? {} : { password }) };
      const made = { servers, ...login, name: "solaris", clock: systemClock, random: systemRandom, log: brokerLog };
      return stack.use(await natsBroker({ ...made, provision: true }));
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

function remote({ url, authToken }: NonNullable<SolarisConfig["database"]>): Promise<Database> {
  return openDatabase({ url, ...(authToken === undefined ? {} : { authToken }) });
}

/** Where the wrapped root key of this data directory is. */
export function rootKeyDeps(config: SolarisConfig, suite: CryptoSuite): RootKeyDeps {
  return { suite, random: systemRandom, file: `${config.dataDirectory}/root-key.json` };
}

/** The secret that all rests on, from the first source that has one; made when the data directory has not begun. */
export async function findSecret(config: SolarisConfig, log: Log): Promise<string> {
  const sources = {
    credential: "solaris-key",
    variable: keyVariable,
    keyStore: { service: "solaris", account: config.dataDirectory.replaceAll(/[^A-Za-z0-9._-]/g, "-").slice(-64) },
    file: config.keyFile,
  };
  const begun = await hasRootKey(`${config.dataDirectory}/root-key.json`);
  const found = await findKey(sources, { environment: config.environment, random: systemRandom }, { create: !begun });
  if (found === undefined)
    throw new Fault("config", `there is data in ${config.dataDirectory} and no key for it: see ${keyVariable}`);
  if (found.source === "file")
    log.warn("the key of all that is stored lies in a file: back it up, apart from the data", { file: config.keyFile });
  return found.key;
}
