import { Cron } from "croner";
import type { Clock } from "#lib/clock";
import { Fault } from "#lib/fault";

/** How many ms are left until something is due; 0 or less = now. Asked again and again: clocks jump. */
export type Due = () => number;

/** When to poll next, given when the last poll began (monotonic); undefined = none yet. */
export type Schedule = (lastBeganMs: number | undefined) => Due;

/** A cron pattern (5 or 6 fields, the site's own time zone), or every so many ms. Fault `config` when it never comes due. */
export function makeSchedule(schedule: string | number, clock: Clock): Schedule {
  if (typeof schedule === "number")
    return (lastBeganMs) => () => (lastBeganMs === undefined ? 0 : lastBeganMs + schedule - clock.monotonic());
  const cron = readCron(schedule);
  const next = () => cron.nextRun(new Date(clock.now()))?.getTime() ?? Infinity;
  if (next() === Infinity) throw new Fault("config", "the schedule never comes due");
  return () => {
    let at = next();
    return () => {
      at = Math.min(at, next()); // set back by a day, the clock must not cost a day
      return at - clock.now();
    };
  };
}

function readCron(pattern: string): Cron {
  try {
    return new Cron(pattern, { mode: "5-or-6-parts", paused: true });
  } catch (cause) {
    throw new Fault("config", "the schedule is no cron pattern of 5 or 6 fields", { cause });
  }
}
