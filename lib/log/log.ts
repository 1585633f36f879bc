import { redact } from "./redact.ts";

export type LogLevel = "debug" | "info" | "warn" | "error";
export type LogFields = Readonly<Record<string, unknown>>;

/** Where redacted records go: one call per record, fields already without secrets. */
export type LogSink = (level: LogLevel, category: readonly string[], message: string, fields: LogFields) => void;

/** A logger of one part of a program. Messages are constant texts; what varies goes into `fields`. */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** The same log under one more category name. */
  child(name: string): Log;
}

/** A log that redacts every field, then hands the record to `sink`. */
export function makeLog(sink: LogSink, category: readonly string[] = []): Log {
  const at =
    (level: LogLevel) =>
    (message: string, fields: LogFields = {}) => {
      const shown = Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, redact(value, name)]));
      sink(level, category, message, shown);
    };
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    child: (name) => makeLog(sink, [...category, name]),
  };
}

/** Drops everything; for tests and for parts that nobody listens to. */
export const silentLog: Log = makeLog(() => undefined);
