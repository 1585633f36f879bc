/** The yardstick for event-loop lag: a process that does nothing but watch its own loop. Prints its p99 in ms per line read. */
import { monitorLoopLag, systemClock } from "#lib/runtime";

using monitor = monitorLoopLag(systemClock);
for await (const _line of console) console.log(monitor.read().p99Ms);
