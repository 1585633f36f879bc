import { appendFileSync, existsSync, readFileSync } from "node:fs";

/** How to start one program of the system, again and again with the same settings. */
export interface ProgramSettings {
  /** Name for messages and for its log file. */
  readonly name: string;
  readonly command: readonly string[];
  /** The whole environment of the process: nothing of ours is passed on but PATH and HOME. */
  readonly environment: Readonly<Record<string, string>>;
  readonly directory: string;
  /** Everything that it prints, of all its runs. */
  readonly logFile: string;
  /** Written to its standard input at each start; none = closed. */
  readonly input?: string;
  /** Whom it runs as; default who runs this. */
  readonly user?: { readonly uid: number; readonly gid: number };
}

/** One program as a real process: started, watched, killed and started again. */
export class Program implements AsyncDisposable {
  readonly settings: ProgramSettings;
  #child: Bun.Subprocess<"ignore" | Blob, "pipe", "pipe"> | undefined;
  #reading: Promise<unknown> = Promise.resolve();
  /** What it printed since its last start. */
  #output = "";
  #watchers = new Set<() => void>();

  constructor(settings: ProgramSettings) {
    this.settings = settings;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  get running(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** What it printed since its last start, on both of its streams. */
  get output(): string {
    return this.#output;
  }

  /** What it printed in all its runs. */
  get log(): string {
    return existsSync(this.settings.logFile) ? readFileSync(this.settings.logFile, "utf8") : "";
  }

  /** Starts the process; TypeError when it runs already. */
  start(extraEnvironment: Readonly<Record<string, string>> = {}): void {
    if (this.running) throw new TypeError(`${this.settings.name} runs already`);
    const { command, environment, directory, input, user } = this.settings;
    this.#output = "";
    const child = Bun.spawn([...command], {
      cwd: directory,
      env: { PATH: process.env.PATH ?? "", HOME: directory, ...environment, ...extraEnvironment },
      stdin: input === undefined ? "ignore" : new Blob([input]),
      stdout: "pipe",
      stderr: "pipe",
      ...user,
      onExit: () => this.#changed(),
    });
    this.#child = child;
    this.#reading = Promise.all([this.#read(child.stdout), this.#read(child.stderr)]);
  }

  /** Resolves with the first match of `pattern` in what it prints; rejects with its output when it ends or in `timeoutMs`. */
  async until(pattern: RegExp, timeoutMs = 20_000): Promise<RegExpExecArray> {
    const found = await this.#when(() => pattern.exec(this.#output), timeoutMs, `print ${pattern}`);
    return found;
  }

  /** Sends `signal` and resolves with the exit code (null after a signal) once it has ended and is read to its end. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<number | null> {
    const child = this.#child;
    if (child === undefined) return null;
    if (this.running) child.kill(signal);
    await child.exited;
    await this.#reading;
    return child.exitCode;
  }

  /** SIGKILL, and the process is gone when this resolves. */
  async kill(): Promise<void> {
    await this.stop("SIGKILL");
  }

  /** Resolves with the exit code when it ends by itself; rejects in `timeoutMs`. */
  async exit(timeoutMs = 20_000): Promise<number> {
    await this.#when(() => (this.running ? undefined : true), timeoutMs, "end");
    await this.#reading;
    return this.#child?.exitCode ?? -1;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  async #read(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      const text = decoder.decode(chunk, { stream: true });
      this.#output += text;
      appendFileSync(this.settings.logFile, text);
      this.#changed();
    }
  }

  #changed(): void {
    for (const watcher of this.#watchers) watcher();
  }

  #when<T>(probe: () => T | null | undefined, timeoutMs: number, what: string): Promise<T> {
    return new Promise((resolve, reject) => {
      const done = () => {
        clearTimeout(timer);
        this.#watchers.delete(look);
      };
      const fail = (why: string) => {
        done();
        reject(new RangeError(`${this.settings.name} ${why}; it printed:\n${this.#output.slice(-4_000)}`));
      };
      const look = () => {
        const found = probe();
        if (found !== null && found !== undefined) {
          done();
          resolve(found);
        } else if (!this.running) {
          // What it printed last may still be on its way through the pipe.
          void this.#reading.then(() => {
            const last = probe();
            if (last === null || last === undefined) fail(`ended (${this.#child?.exitCode}) and did not ${what}`);
            else {
              done();
              resolve(last);
            }
          });
        }
      };
      const timer = setTimeout(() => fail(`did not ${what} in ${timeoutMs} ms`), timeoutMs);
      this.#watchers.add(look);
      look();
    });
  }
}
