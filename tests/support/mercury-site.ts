import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type AgentStatus, askStatus } from "../../agent/status.ts";
import { Program } from "./program.ts";

/** What a site's Mercury is started with. */
export interface MercurySiteOptions {
  /** `["bun", "…/agent/main.ts"]`, or a binary. */
  readonly command: readonly string[];
  /** Folder of the site: data directory, exchange directories, log. */
  readonly directory: string;
  readonly name: string;
  /** Hosts and ports that its plugins may reach. */
  readonly allow?: readonly string[];
  /** Directories that its file plugins may use; `<directory>/exchange` is always one. */
  readonly allowDirectories?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

/** A customer's site: one Mercury as a real process, with its data and the directory that its file plugin may use. */
export class MercurySite implements AsyncDisposable {
  readonly program: Program;
  readonly directory: string;
  readonly data: string;
  /** Holds the key of its store. */
  readonly keyFile: string;
  /** A directory on the site's own list. */
  readonly exchange: string;
  readonly #options: MercurySiteOptions;
  readonly #environment: Readonly<Record<string, string>>;

  constructor(options: MercurySiteOptions) {
    const { directory, name, command, environment } = options;
    this.#options = options;
    this.directory = directory;
    this.data = join(directory, "data");
    this.exchange = join(directory, "exchange");
    this.keyFile = join(directory, "store.key");
    mkdirSync(this.exchange, { recursive: true });
    this.#environment = {
      MERCURY_DATA: this.data,
      MERCURY_KEY_FILE: this.keyFile,
      MERCURY_LOG_FORMAT: "json",
      ...environment,
    };
    this.program = new Program({
      name,
      command: [...command, "run"],
      environment: this.#environment,
      directory,
      logFile: join(directory, "mercury.log"),
    });
  }

  /** Redeems a token, which it reads from a file, and sets the site's own list. Output of the command. */
  async enroll(token: string): Promise<string> {
    const { directory, allow = [], allowDirectories = [] } = this.#options;
    const file = join(directory, "token");
    writeFileSync(file, `${token}\n`, { mode: 0o600 });
    const hosts = allow.flatMap((host) => ["--allow", host]);
    const directories = [this.exchange, ...allowDirectories].flatMap((path) => ["--allow-dir", path]);
    const { code, output } = await this.cli(["enroll", "--token-file", file, ...hosts, ...directories]);
    if (code !== 0) throw new RangeError(`mercury enroll ended with ${code}: ${output}`);
    return output;
  }

  /** Runs one command of the CLI to its end. */
  async cli(words: readonly string[], input?: string): Promise<{ code: number; output: string }> {
    const { command, directory } = this.#options;
    const child = Bun.spawn([...command, ...words], {
      cwd: directory,
      env: { PATH: process.env.PATH ?? "", HOME: directory, ...this.#environment },
      stdin: input === undefined ? "ignore" : new Blob([input]),
      stdout: "pipe",
      stderr: "pipe",
    });
    const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
    return { code: await child.exited, output: out + err };
  }

  /** Starts `mercury run`. */
  start(environment: Readonly<Record<string, string>> = {}): void {
    this.program.start(environment);
  }

  /** What the running Mercury says of itself; RangeError when none runs. */
  async status(): Promise<AgentStatus> {
    const status = await askStatus(this.data);
    if (status === undefined) throw new RangeError(`no Mercury runs on ${this.data}`);
    return status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.program[Symbol.asyncDispose]();
  }
}
