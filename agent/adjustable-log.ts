import { type Log, type LogLevel, makeLog } from "#lib/log";
import { type ConsoleLogOptions, consoleLogSink } from "#lib/runtime";

const rank: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 };

/** A log whose level can be changed while the program runs, by a command from Solaris. */
export interface AdjustableLog {
  readonly log: Log;
  /** Records below it are dropped from now on. */
  setLevel(level: LogLevel): void;
}

export function adjustableLog(level: LogLevel, format: ConsoleLogOptions["format"]): AdjustableLog {
  let current = level;
  const sink = consoleLogSink({ level: "debug", ...(format === undefined ? {} : { format }) });
  return {
    log: makeLog(
      (at, ...record) => {
        if (rank[at] >= rank[current]) sink(at, ...record);
      },
      ["mercury"],
    ),
    setLevel: (next) => {
      current = next;
    },
  };
}
