import type { Database } from "./database.ts";
import { DatabaseThread } from "./database-thread.ts";

/** A local encrypted file, or a remote libSQL server. */
export type DatabaseOptions = {
  /** How long a write waits for another process' lock, ms. Default 5,000. */
  readonly busyTimeoutMs?: number;
  /** Tests and benchmarks only: added to every commit of a local file, ms, to stand for a slow disk. Default 0. */
  readonly commitDelayMs?: number;
} & (
  | {
      /** Path of the file; created 0600 with its folders (0700) when missing. `:memory:` for a test. */
      readonly path: string;
      /** Passphrase or hex text of at least 16 characters under which the whole file is encrypted. */
      readonly encryptionKey: string;
    }
  | {
      /** `libsql:`, `https:`, `http:`, `wss:` or `ws:` address of a server. */
      readonly url: string;
      readonly authToken?: string;
    }
);

/**
 * Opens (and creates) a database: WAL, `synchronous=FULL`, foreign keys on.
 * Fault `database_key` when the file was written under another key, `database` when it can't be opened.
 */
export async function openDatabase(options: DatabaseOptions): Promise<Database> {
  const { busyTimeoutMs = 5_000, commitDelayMs = 0 } = options;
  if ("path" in options && options.encryptionKey.length < 16)
    throw new TypeError("an encryption key has at least 16 characters");
  const thread = new DatabaseThread();
  try {
    await thread.open({ ...options, busyTimeoutMs, commitDelayMs });
    return thread;
  } catch (error) {
    await thread[Symbol.asyncDispose]();
    throw error;
  }
}
