/** Signals that end or nudge a program. */
export type SignalName = "SIGTERM" | "SIGINT" | "SIGHUP";

/** Calls `act` at each of these signals instead of what they do by themselves. Returns what ends that. */
export function onSignal(names: readonly SignalName[], act: (name: SignalName) => void): () => void {
  const handlers = names.map((name) => [name, () => act(name)] as const);
  for (const [name, handler] of handlers) process.on(name, handler);
  return () => {
    for (const [name, handler] of handlers) process.off(name, handler);
  };
}

/** Ends the process at once with this code; for the last line of a `main.ts` and for watchdogs. */
export function exitProcess(code: number): never {
  process.exit(code);
}

/** Tells of errors that nobody caught: the program must end, since its state is unknown. */
export function onCrash(act: (error: unknown) => void): void {
  process.on("uncaughtException", act);
  process.on("unhandledRejection", act);
}
