import { readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";

const lookEveryMs = 20;

/** A system that fetches files: each that appears is read, noted and removed, so that one that appears again is seen twice. */
export class CollectedFiles implements AsyncDisposable {
  /** Numbers in the order in which their files were written. */
  readonly numbers: number[] = [];
  readonly #directory: string;
  readonly #read: (body: string) => number;
  readonly #running: Promise<void>;
  #stopped = false;

  constructor(directory: string, read: (body: string) => number) {
    this.#directory = directory;
    this.#read = read;
    this.#running = this.#run();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      this.#look();
      await Bun.sleep(lookEveryMs);
    }
    this.#look();
  }

  #look(): void {
    const found = readdirSync(this.#directory)
      .filter((name) => !name.startsWith(".")) // what is still being written
      .map((name) => {
        const path = join(this.#directory, name);
        return { path, at: statSync(path, { bigint: true }).mtimeNs, number: this.#read(readFileSync(path, "utf8")) };
      })
      .sort((a, b) => (a.at === b.at ? a.number - b.number : a.at < b.at ? -1 : 1)); // one tick of the file system's clock tells no order
    for (const { path, number } of found) {
      this.numbers.push(number);
      rmSync(path);
    }
  }
}
