import { Fault } from "#lib/fault";
import { runCommand } from "../process/run-command.ts";

/** One secret text in the operating system's key store. */
export interface KeyStoreEntry {
  /** Name of the program, such as `mercury`. */
  readonly service: string;
  /** What the secret is for, such as `store`. */
  readonly account: string;
}

/** The operating system's key store. */
export interface KeyStore {
  /** The secret, or undefined when there is none under this entry. */
  get(entry: KeyStoreEntry): Promise<string | undefined>;
  /** Stores or replaces it. Fault `unavailable` when the store refuses. */
  set(entry: KeyStoreEntry, secret: string): Promise<void>;
  /** Removes it; nothing happens when there is none. Fault `unavailable` when it is still there afterwards. */
  delete(entry: KeyStoreEntry): Promise<void>;
}

const safeName = /^[A-Za-z0-9._-]{1,64}$/;

/**
 * Linux: the Secret Service through `secret-tool`; macOS: the key chain through `security`. Undefined where there is none,
 * or where nobody is logged in whose store could be opened (a service on a server); on Windows there is none yet.
 */
export function systemKeyStore(platform: string = process.platform): KeyStore | undefined {
  if (platform === "darwin" && Bun.which("security") !== null) return macKeyStore;
  if (platform === "linux" && Bun.which("secret-tool") !== null && process.env.DBUS_SESSION_BUS_ADDRESS !== undefined)
    return linuxKeyStore;
  return undefined;
}

const linuxKeyStore: KeyStore = {
  async get(entry) {
    const { exitCode, stdout } = await runCommand(["secret-tool", "lookup", ...attributes(entry)]);
    return exitCode === 0 && stdout.trim() !== "" ? stdout.trim() : undefined;
  },
  async set(entry, secret) {
    const label = `--label=${entry.service} ${entry.account}`;
    const { exitCode } = await runCommand(["secret-tool", "store", label, ...attributes(entry)], { input: secret });
    if (exitCode !== 0) throw refused();
  },
  async delete(entry) {
    await runCommand(["secret-tool", "clear", ...attributes(entry)]); // fails too when there is none
    if ((await this.get(entry)) !== undefined) throw refused();
  },
};

const macKeyStore: KeyStore = {
  async get(entry) {
    const names = ["-s", checked(entry.service), "-a", checked(entry.account)];
    const { exitCode, stdout } = await runCommand(["security", "find-generic-password", "-w", ...names]);
    return exitCode === 0 && stdout.trim() !== "" ? stdout.trim() : undefined;
  },
  async set(entry, secret) {
    // `security -i` reads its command from standard input: the secret is in no argument list.
    if (!safeName.test(secret)) throw new TypeError("a secret for the key chain is of A-Z a-z 0-9 . _ -");
    const command = `add-generic-password -U -s ${checked(entry.service)} -a ${checked(entry.account)} -w ${secret}\n`;
    const { exitCode } = await runCommand(["security", "-i"], { input: command });
    if (exitCode !== 0 || (await this.get(entry)) !== secret) throw refused();
  },
  async delete(entry) {
    const names = ["-s", checked(entry.service), "-a", checked(entry.account)];
    await runCommand(["security", "delete-generic-password", ...names]); // fails too when there is none
    if ((await this.get(entry)) !== undefined) throw refused();
  },
};

function attributes(entry: KeyStoreEntry): string[] {
  return ["service", checked(entry.service), "account", checked(entry.account)];
}

function checked(name: string): string {
  if (!safeName.test(name)) throw new TypeError("a name in the key store is of A-Z a-z 0-9 . _ -");
  return name;
}

function refused(): Fault {
  return new Fault("unavailable", "the operating system's key store refused");
}
