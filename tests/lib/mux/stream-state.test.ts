import { expect, test } from "bun:test";
import { DrivenClock } from "#support/driven-clock";
import { caught } from "#support/faults";
import { frames } from "#support/frames";
import { firstOf, muxPair, pattern } from "#support/mux-pair";

type State = "open" | "sent-fin" | "got-fin" | "over";
type Event = "say-fin" | "hear-fin" | "hear-data" | "reset";

/** What a peer and a user see of every event in every state: whether it is taken, and whether the stream is gone then. */
const expected: Record<State, Record<Event, "stays" | "gone" | "fault" | "nothing">> = {
  open: { "say-fin": "stays", "hear-fin": "stays", "hear-data": "stays", reset: "gone" },
  "sent-fin": { "say-fin": "nothing", "hear-fin": "gone", "hear-data": "stays", reset: "gone" },
  "got-fin": { "say-fin": "gone", "hear-fin": "fault", "hear-data": "fault", reset: "gone" },
  over: { "say-fin": "nothing", "hear-fin": "nothing", "hear-data": "nothing", reset: "nothing" },
};

/** A responder's stream brought to `state` by what its peer says and its user does. */
function brought(state: State) {
  const pair = muxPair(new DrivenClock());
  const { mux } = pair.b;
  mux.receive(frames.open(1, pattern(16)));
  const stream = firstOf(pair.b);
  if (state === "sent-fin") stream.end();
  if (state === "got-fin") mux.receive(frames.fin(1, 0));
  if (state === "over") mux.receive(frames.reset(1, "closed"));
  while (mux.nextRecord() !== undefined);
  return { mux, stream };
}

for (const [state, events] of Object.entries(expected) as [State, Record<Event, string>][])
  for (const [event, outcome] of Object.entries(events) as [Event, string][])
    test(`${event} in ${state}: ${outcome}`, async () => {
      const { mux, stream } = brought(state);
      const reading = stream.read().catch(() => null);
      const act = {
        "say-fin": () => stream.end(),
        "hear-fin": () => mux.receive(frames.fin(1, 0)),
        "hear-data": () => mux.receive(frames.data(1, pattern(1))),
        reset: () => mux.receive(frames.reset(1, "closed")),
      };
      if (outcome === "fault") {
        expect(await caught(act[event])).toMatchObject({ code: "frame_invalid" });
        stream.reset("closed");
        return;
      }
      act[event]();
      const said = mux.nextRecord();
      if (outcome === "nothing") expect(said).toBeUndefined();
      expect(mux.streams).toBe(outcome === "gone" || state === "over" ? 0 : 1);
      stream.reset("closed");
      await reading;
    });
