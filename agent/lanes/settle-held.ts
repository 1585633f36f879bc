import type { Clock, Random } from "#lib/clock";
import { Fault } from "#lib/fault";
import type { Lane } from "../store/lane-store.ts";
import type { LaneExecutor } from "./lane-executor.ts";
import { makeLetters } from "./lane-letters.ts";

export interface SettleHeldOptions {
  readonly lane: Lane;
  /** Runs the lane; absent while its plugin doesn't run: a retry waits for it. */
  readonly executor: Pick<LaneExecutor, "retryHeld"> | undefined;
  /** Id of the message. */
  readonly message: string;
  readonly decision: "retry" | "applied" | "dead";
  readonly clock: Pick<Clock, "now">;
  readonly random: Random;
}

/** Does what a person decided about a message whose outcome is unknown. Faults: `not_found` when none is held under this id, `lane_full`. */
export async function settleHeld(options: SettleHeldOptions): Promise<void> {
  const { lane, executor, message, decision, clock, random } = options;
  const held = await lane.held.get(message);
  if (held === undefined) throw new Fault("not_found", "no message of unknown outcome has this id");
  if (decision === "retry") {
    await lane.state.write([lane.held.retry(message, true)]);
    executor?.retryHeld();
    return;
  }
  const letter = makeLetters(random, () => clock.now()).settled(message, held, decision);
  await lane.outbox.appendWith([letter], (also) => lane.state.write([lane.held.release(message), ...also]));
}
