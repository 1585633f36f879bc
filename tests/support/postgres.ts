import {
  chownSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { freePort } from "./free-port.ts";
import { Program } from "./program.ts";

/** Where Debian puts the server's programs: only its own wrappers call them. */
const debianFolder = "/usr/lib/postgresql";

/** What a client of the server needs to know. */
export interface PostgresLogin {
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

/** Folder of PostgreSQL's programs; undefined when no server is installed. */
export function postgresFolder(): string | undefined {
  const found = Bun.which("postgres");
  if (found !== null) return dirname(realpathSync(found));
  const versions = existsSync(debianFolder) ? readdirSync(debianFolder) : [];
  return versions
    .toSorted((a, b) => Number(b) - Number(a))
    .map((version) => join(debianFolder, version, "bin"))
    .find((folder) => existsSync(join(folder, "postgres")));
}

/** A PostgreSQL of its own: a new cluster in a new folder, on a free port of loopback. Disposing ends and removes it. */
export class Postgres implements AsyncDisposable {
  readonly program: Program;
  readonly folder: string;
  readonly data: string;
  readonly port: number;
  readonly login: PostgresLogin;
  readonly version: string;

  private constructor(programs: string) {
    const user = serverUser();
    this.folder = mkdtempSync(join(tmpdir(), "postgres-"));
    if (user !== undefined) chownSync(this.folder, user.uid, user.gid);
    this.data = join(this.folder, "data");
    this.port = freePort();
    const password = Buffer.from(crypto.getRandomValues(new Uint8Array(18))).toString("base64url");
    this.login = { user: "app", password, database: "postgres" };
    this.version = new TextDecoder().decode(Bun.spawnSync([join(programs, "postgres"), "--version"]).stdout).trim();
    // Nothing of it outlives the test, so it need not survive a power cut.
    const settings = { listen_addresses: "127.0.0.1", port: this.port, unix_socket_directories: "", fsync: "off" };
    this.program = new Program({
      name: "postgres",
      command: [
        join(programs, "postgres"),
        "-D",
        this.data,
        ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]),
      ],
      environment: { LC_ALL: "C" },
      directory: this.folder,
      logFile: join(this.folder, "postgres.log"),
      ...(user === undefined ? {} : { user }),
    });
  }

  /** Makes the cluster and starts the server; RangeError when none is installed or it does not get ready. */
  static async start(): Promise<Postgres> {
    const programs = postgresFolder();
    if (programs === undefined) throw new RangeError("PostgreSQL is not installed");
    const server = new Postgres(programs);
    try {
      await server.#makeCluster(join(programs, "initdb"));
      server.program.start();
      await server.program.until(/ready to accept connections/);
      return server;
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** An immediate shutdown: unlike a kill it gives the shared memory back. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.program.stop("SIGQUIT");
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #makeCluster(initdb: string): Promise<void> {
    const passwordFile = join(this.folder, "password");
    writeFileSync(passwordFile, this.login.password, { mode: 0o600 });
    const { user } = this.program.settings;
    if (user !== undefined) chownSync(passwordFile, user.uid, user.gid);
    const words = ["-D", this.data, "-U", this.login.user, "-A", "scram-sha-256", "--pwfile", passwordFile];
    const child = Bun.spawn([initdb, ...words, "--no-sync", "--locale=C", "--encoding=UTF8"], {
      cwd: this.folder,
      env: { PATH: process.env.PATH ?? "" },
      stdout: "ignore",
      stderr: "pipe",
      ...user,
    });
    const said = await new Response(child.stderr).text();
    if ((await child.exited) !== 0) throw new RangeError(`initdb: ${said}`);
  }
}

/** PostgreSQL refuses to run as root; it runs as its own user then, or as nobody. */
function serverUser(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const users = readFileSync("/etc/passwd", "utf8").split("\n");
  const line = users.find((user) => user.startsWith("postgres:")) ?? users.find((user) => user.startsWith("nobody:"));
  const [, , uid, gid] = line?.split(":") ?? [];
  if (uid === undefined || gid === undefined) throw new RangeError("there is no user to run PostgreSQL as");
  return { uid: Number(uid), gid: Number(gid) };
}
