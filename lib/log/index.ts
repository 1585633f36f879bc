/** Structured logs. Layer 0: the interface and a redaction that every sink is behind. */
export { type Log, type LogFields, type LogLevel, type LogSink, makeLog, silentLog } from "./log.ts";
export { redact } from "./redact.ts";
