/** The one place that names the runtime: databases, files, keys, HTTP, processes, time. Layer 3. */
export { buildProgram, type ProgramBuild } from "./build/build-program.ts";
export { type CompileOptions, compileProgram } from "./build/compile-program.ts";
export { addonPackage, type BuildTarget } from "./build/libsql-plugin.ts";
export { systemClock, systemRandom } from "./clock/system-clock.ts";
export type { Database, Result, SqlParameter, SqlRow, SqlValue, Statement } from "./database/database.ts";
export { drizzleFor, toStatement } from "./database/drizzle-for.ts";
export { type Migrated, type MigrationStep, migrate } from "./database/migrate.ts";
export { type DatabaseOptions, openDatabase } from "./database/open-database.ts";
export { atomicWrite } from "./files/atomic-write.ts";
export {
  type FileFacts,
  fileFacts,
  linkFile,
  listDirectory,
  makeDirectory,
  moveFile,
  readFileBytes,
  realPath,
  removeDirectory,
  removeFile,
} from "./files/files.ts";
export { isWithin, paths } from "./files/paths.ts";
export { readPrivateFile } from "./files/private-file.ts";
export { readRegularFile } from "./files/read-regular-file.ts";
export { type Unwatch, watchDirectory } from "./files/watch-directory.ts";
export { type HttpConnection, type HttpServer, type HttpServerOptions, serveHttp } from "./http/serve-http.ts";
export type { ServerSocket, ServerSocketReceiver } from "./http/server-socket.ts";
export { type FoundKey, findKey, type KeySources, type KeySurroundings } from "./keys/find-key.ts";
export { type ForgottenKey, forgetKey } from "./keys/forget-key.ts";
export { type KeyStore, type KeyStoreEntry, systemKeyStore } from "./keys/key-store.ts";
export { type ConsoleLogOptions, consoleLogSink } from "./log/console-log-sink.ts";
export { builtInAuthorities } from "./network/built-in-authorities.ts";
export { connectPinnedTls } from "./network/pinned-tls.ts";
export { probeTcp, probeTls, resolveHost } from "./network/probes.ts";
export {
  connectTcp,
  listenTcp,
  type TcpListenAt,
  type TcpListener,
  type TcpReceiver,
  type TcpSocket,
} from "./network/tcp.ts";
export { collectGarbage } from "./process/collect-garbage.ts";
export { exclusiveLock } from "./process/exclusive-lock.ts";
export { commandArguments, environment, type HostFacts, hostFacts, residentBytes } from "./process/host-facts.ts";
export { askLocally, serveLocally } from "./process/local-endpoint.ts";
export { type LocalSession, openLocalSession, serveLocalSessions } from "./process/local-session.ts";
export { type LoopLag, type LoopLagMonitor, monitorLoopLag } from "./process/loop-lag.ts";
export { hashPassword, verifyPassword } from "./process/password-hash.ts";
export { type CommandAnswer, runCommand } from "./process/run-command.ts";
export { exitProcess, onCrash, onSignal, type SignalName } from "./process/signals.ts";
export { hiddenPrompt, isTerminal, readStandardInput, writeOut } from "./process/terminal.ts";
export { startWatchdog, type WatchdogOptions } from "./process/watchdog.ts";
export {
  type Listen,
  readSettings,
  type Settings,
  settingsText,
  type Tls,
  type Variable,
  wrongSetting,
} from "./settings/read-settings.ts";
