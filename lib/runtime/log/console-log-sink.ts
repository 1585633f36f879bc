import type { LogLevel, LogSink } from "#lib/log";

/** How records are written. */
export interface ConsoleLogOptions {
  /** Records below it are dropped. Default `info`. */
  readonly level?: LogLevel;
  /** `json`: one object a line; `text`: for people. Default: `text` on a terminal, else `json`. */
  readonly format?: "json" | "text";
  /** Where lines go; each ends with a newline. Default standard error. */
  readonly write?: (line: string) => void;
}

const rank: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 };
const colour: Readonly<Record<LogLevel, string>> = { debug: "\x1b[2m", info: "", warn: "\x1b[33m", error: "\x1b[31m" };

/** A sink that writes records, redacted already by lib/log, to standard error. */
export function consoleLogSink(options: ConsoleLogOptions = {}): LogSink {
  const { level = "info", write = (line: string) => void process.stderr.write(line) } = options;
  const format = options.format ?? (process.stderr.isTTY ? "text" : "json");
  return (at, category, message, fields) => {
    if (rank[at] < rank[level]) return;
    const time = new Date().toISOString();
    if (format === "text") {
      const shown = Object.entries(fields).map(([name, value]) => `${name}=${text(value)}`);
      write(
        `${time.slice(11, 23)} ${colour[at]}${at.padEnd(5)}\x1b[0m ${category.join(".")} ${message} ${shown.join(" ")}`.trimEnd() +
          "\n",
      );
    } else write(`${json({ time, level: at, category: category.join("."), message, ...fields })}\n`);
  };
}

function text(value: unknown): string {
  return typeof value === "string" && /^[\w.:/@+-]+$/.test(value) ? value : json(value);
}

/** JSON where it can be made; a log line must never throw. */
function json(value: unknown): string {
  try {
    return JSON.stringify(value, (_, item) => (typeof item === "bigint" ? String(item) : item)) ?? "null";
  } catch {
    return '"‹not serializable›"';
  }
}
