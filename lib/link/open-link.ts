import type { Bytes } from "#lib/bytes";
import {
  type ChannelOptions,
  decodeRefusal,
  type Established,
  encodeRefusal,
  type Handshake,
  initiateChannel,
  messageKind,
  RecordSealer,
  type Refusal,
  respondToChannel,
} from "#lib/channel";
import { asFault, Fault } from "#lib/fault";
import { handshakeTimeoutMs } from "#lib/limits";
import { goawayPlaintext } from "#lib/mux";
import { closeCode, type Wire, type WireReceiver } from "#lib/wire";
import { ChannelLink } from "./channel-link.ts";
import type { Link, LinkOptions } from "./link.ts";
import { WireInbox } from "./wire-inbox.ts";

/**
 * Opens a link as initiator over a wire that nobody has received from yet. Rejects with the Fault of the check that
 * failed, `timeout`, `wire_lost`, or what `refused` made of a refusal; the wire is closed then.
 */
export function openLink(wire: Wire, options: LinkOptions): Promise<Link> {
  return overWire(wire, options, async (inbox) => {
    const { send, handshake } = await initiateChannel(options);
    trySend(wire, send);
    const answer = await inbox.next();
    if (answer[0] === messageKind.refusal) throw await faultOf(decodeRefusal(answer), options);
    return complete(wire, inbox, await handshake.take(answer), true, options);
  });
}

/**
 * Accepts a link as responder over a wire that nobody has received from yet. Rejects like `openLink`; an initiator that
 * has proved who it is and is refused (check, freshness, policy) is told the code under the channel's keys.
 */
export function acceptLink(wire: Wire, options: LinkOptions): Promise<Link> {
  return overWire(wire, options, async (inbox) => {
    const handshake: Handshake = respondToChannel(options);
    const answer = await handshake.take(await inbox.next());
    if (answer.status === "going") wire.send(answer.send);
    return complete(wire, inbox, await handshake.take(await inbox.next()), false, options);
  });
}

/** Tells an opening that it is refused, in a message of kind 0x04, and closes (PROTOCOL §5): before any handshake. */
export function refuseWire(wire: Wire, refusal: Refusal): void {
  wire.receive({ message: () => undefined, closed: () => undefined }); // what else it sends means nothing any more
  try {
    wire.send(encodeRefusal(refusal));
  } catch (error) {
    if (!(error instanceof Fault)) throw error; // gone already: nobody to tell
  }
  wire.close(closeCode.fault, refusal.code);
}

/** The wire may have ended behind a refusal that waits to be read; `next` rejects when there is none. */
function trySend(wire: Wire, message: Bytes): void {
  try {
    wire.send(message);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
  }
}

type Step = Awaited<ReturnType<Handshake["take"]>>;

async function complete(
  wire: Wire,
  inbox: WireInbox,
  step: Step,
  initiator: boolean,
  options: LinkOptions,
): Promise<Link> {
  switch (step.status) {
    case "going":
      throw new Fault("handshake", "the handshake does not end");
    case "refused":
      await tellRefused(wire, step.keys.sendKey, step.fault, options);
      throw step.fault;
    case "established":
      if (step.send !== undefined) wire.send(step.send);
      return linkOver(wire, inbox, step.established, initiator, options);
  }
}

async function linkOver(
  wire: Wire,
  inbox: WireInbox,
  established: Established,
  initiator: boolean,
  options: LinkOptions,
): Promise<Link> {
  const link = await ChannelLink.create(wire, established, initiator, options);
  inbox.handOver(receiverOf(link));
  return link;
}

/** Its own function: what its closures have in reach lives as long as the link, and the handshake's keys must not. */
function receiverOf(link: ChannelLink): WireReceiver {
  return { message: (message) => link.take(message), closed: (fault) => link.lost(fault) };
}

/** One record under the new keys that says why: the peer has proved who it is, so it may know. */
async function tellRefused(wire: Wire, sendKey: Bytes, fault: Fault, { suite }: ChannelOptions): Promise<void> {
  await new Promise<void>((resolve) => {
    const events = {
      record(record: Bytes) {
        wire.send(record);
        resolve();
      },
      failed: () => resolve(),
    };
    void RecordSealer.create(suite, sendKey, events).then((sealer) => sealer.seal(goawayPlaintext(fault.code)));
  });
}

function faultOf(refusal: Refusal, { refused }: LinkOptions): Promise<Fault> | Fault {
  return refused?.(refusal) ?? new Fault("handshake", "the opening was refused", { detail: { refusal: refusal.code } });
}

async function overWire(wire: Wire, options: LinkOptions, work: (inbox: WireInbox) => Promise<Link>): Promise<Link> {
  const inbox = new WireInbox(wire);
  const { signal } = options;
  const abort = () => inbox.fail(asFault(signal?.reason, "closed", "the opening was cancelled"));
  const cancel = options.clock.after(options.handshakeTimeoutMs ?? handshakeTimeoutMs, () =>
    inbox.fail(new Fault("timeout", "the handshake took too long")),
  );
  try {
    signal?.throwIfAborted();
    signal?.addEventListener("abort", abort, { once: true });
    return await Promise.race([work(inbox), inbox.failed]);
  } catch (error) {
    const fault = asFault(error, "internal", "opening a link failed");
    inbox.fail(fault);
    wire.close(closeCode.fault, fault.code);
    throw fault;
  } finally {
    cancel();
    signal?.removeEventListener("abort", abort);
  }
}
