/** What a check of the demo found. `detail` is for people: counts, names, times. */
export interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

/** Tells the story in the terminal and keeps the checks for the summary. */
export class Narrator {
  readonly checks: Check[] = [];
  readonly #started = performance.now();
  readonly #colour: boolean;
  readonly #live: boolean;
  readonly #print: (text: string) => void;

  constructor(options: { colour: boolean; live: boolean; print: (text: string) => void }) {
    this.#colour = options.colour;
    this.#live = options.live;
    this.#print = options.print;
  }

  /** A chapter of the story. */
  step(title: string): void {
    this.#print(`\n${this.#seconds()} ${this.#paint("1", title)}\n`);
  }

  /** A sentence about what happens. */
  say(text: string): void {
    this.#print(`${this.#indent()}${text}\n`);
  }

  /** How far a longer piece of work is; one line that is rewritten on a terminal, a line a quarter elsewhere. */
  progress(label: string, totalCount: number): (count: number) => void {
    let quarter = -1;
    return (count) => {
      const done = count >= totalCount;
      if (this.#live) {
        const width = 24;
        const filled = Math.min(width, Math.round((count / totalCount) * width));
        const bar = `${"█".repeat(filled)}${"░".repeat(width - filled)}`;
        this.#print(`\r${this.#indent()}${label} ${bar} ${count}/${totalCount}${done ? "\n" : ""}`);
        return;
      }
      const now = Math.floor((count * 4) / totalCount);
      if (now > quarter) this.say(`${label} ${count}/${totalCount}`);
      quarter = now;
    };
  }

  /** Records a check and says how it went. */
  check(name: string, ok: boolean, detail: string): void {
    this.checks.push({ name, ok, detail });
    const mark = ok ? this.#paint("32", "✓") : this.#paint("31", "✗");
    this.#print(`${this.#indent()}${mark} ${name}: ${detail}\n`);
  }

  get ok(): boolean {
    return this.checks.length > 0 && this.checks.every(({ ok }) => ok);
  }

  #seconds(): string {
    return this.#paint("2", `${((performance.now() - this.#started) / 1_000).toFixed(1).padStart(5)}s`);
  }

  #indent(): string {
    return " ".repeat(7);
  }

  #paint(code: string, text: string): string {
    return this.#colour ? `\u001b[${code}m${text}\u001b[0m` : text;
  }
}
