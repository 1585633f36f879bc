/** What the watching thread runs; kept as text so that it is inside a compiled program too. */
const watcher = `
  let beat = performance.now();
  let missed = 0;
  onmessage = ({ data }) => {
    beat = performance.now();
    if (data.limitMs === undefined) return;
    setInterval(() => {
      // Several looks: after the machine slept, this thread may wake before the one that it watches.
      missed = performance.now() - beat > data.limitMs ? missed + 1 : 0;
      if (missed < 3) return;
      console.error(data.lastWords);
      process.kill(process.pid, "SIGKILL");
    }, data.limitMs / 4);
  };
`;

export interface WatchdogOptions {
  /** How long the event loop may stand still, ms; at least 100. */
  readonly limitMs: number;
  /** What is written to standard error before the end. */
  readonly lastWords: string;
}

/**
 * Ends this process (SIGKILL) when its event loop stands still for longer than `limitMs`: whatever supervises it starts it
 * again (DESIGN §8). Disposing ends the watch. RangeError for a limit below 100 ms.
 */
export function startWatchdog({ limitMs, lastWords }: WatchdogOptions): Disposable {
  if (!(limitMs >= 100)) throw new RangeError("a watchdog needs a limit of at least 100 ms");
  const url = URL.createObjectURL(new Blob([watcher], { type: "application/javascript" }));
  const worker = new Worker(url, { ref: false } as WorkerOptions); // `ref` is the runtime's own option: the watch keeps nothing alive
  worker.postMessage({ limitMs, lastWords });
  const timer = setInterval(() => worker.postMessage({}), limitMs / 8);
  timer.unref();
  return {
    [Symbol.dispose]() {
      clearInterval(timer);
      worker.terminate();
      URL.revokeObjectURL(url);
    },
  };
}
