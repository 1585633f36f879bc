/** Every bound that a peer can reach, by name, with why it has this value. Layer 0. */
const KiB = 1024;
const MiB = 1024 * KiB;

// Records (PROTOCOL §7)
/** Noise's message size. */
export const noiseMessageBytesMax = 65_535;
/** Plaintext of one record: what is left of a Noise message beside its 16-byte tag. */
export const recordPlaintextBytesMax = 65_519;
/** Counters of one key: 2^16, a wire constant. */
export const recordsPerEpoch = 65_536;
/** A record may overtake at most this many. */
export const recordWindow = 8;
export const recordGapTimeoutMs = 1_000;
/** A channel is replaced by a new handshake after this. */
export const channelAgeMaxMs = 24 * 3_600_000;
/** How long before that a link asks to be replaced. */
export const channelAgeNoticeMs = 10 * 60_000;
export const handshakeTimeoutMs = 10_000;
/** Ciphertext that waits to be opened: what credit allows and a quarter for control frames and headers. */
export const openingBytesMax = 10 * MiB;

// Mux
export const streamCreditBytes = 1 * MiB;
/** Unread bytes that one link may hold for all its streams. */
export const linkCreditMax = 8 * MiB;
export const streamsPerLinkMax = 1_024;
/** The wire's own queue: a larger one closes the link, since it can no longer be said what was sent. */
export const wireBufferedBytesMax = 16 * MiB;
/** Bytes of bulk that may be unacknowledged when nothing is known about the rate. */
export const unackedBytesMin = 64 * KiB;
/** What a new stream may receive before any credit was said: all streams of a link together fit half its credit. */
export const streamInitialCreditBytes = 4 * KiB;
/** Bytes that `write` of one stream queues before it makes its caller wait. */
export const streamWriteBytesMax = 128 * KiB;
/** How much queueing the unacknowledged bytes may cause on the slowest hop (promise 8: a ping waits at most 50 ms). */
export const unackedQueueMs = 40;
/** Unacknowledged bytes whatever the rate: half of the wire's own queue. */
export const unackedBytesMax = 8 * MiB;

// Link
/** Streams of the peer that wait for somebody to take them, and how long. */
export const unclaimedStreamsMax = 64;
export const unclaimedStreamMs = 10_000;
/** What was written before a close has this long to leave. */
export const closeTimeoutMs = 2_000;
/** A peer's credential is looked at again this often at least: clocks jump. */
export const expiryCheckMs = 5 * 60_000;

// Wire
/** Messages that came before anyone listened: a few handshake messages. */
export const wireEarlyBytesMax = 256 * KiB;
/** The largest message: kind, counter and ciphertext of a full record, or a Noise message; relayed ones 5 more. */
export const wireMessageBytesMax = 5 + 9 + noiseMessageBytesMax;
export const connectTimeoutMs = 15_000;

// Relay (PROTOCOL §7)
/** What one pair may have waiting in one direction: the credit of its streams, and an eighth for control frames and headers. */
export const relayQueueBytesMax = linkCreditMax + 1 * MiB;
/** What all pairs of one tunnel may have waiting for it. */
export const relayTunnelBytesMax = 64 * MiB;
/** What a waiting message costs beside its bytes. */
export const relayMessageCostBytes = 128;
/** Pairs of one tunnel, those that are being opened included. */
export const relaysPerTunnelMax = 1_024;
/** Wires that one tunnel asks for a second, and at once: each costs Solaris a look. */
export const relayOpensPerSecond = 20;
export const relayOpensBurst = 128;
/** A wire that is asked for is there, or refused with a code, within this. */
export const relayOpenTimeoutMs = 1_800;

// End-to-end channels
/** Channels of one node to others. */
export const peersMax = 1_024;
/** A channel that no stream uses is closed after this. */
export const peerIdleMs = 60_000;
/** How long an opening waits for a channel, all tries together. */
export const peerOpenTimeoutMs = 10_000;
/** How long streams wait for another channel after theirs was lost (PROTOCOL §9). */
export const resumeWithinMs = 60_000;

// Portals
export const portalsPerAgentMax = 64;
/** Nodes at the other end of one portal. */
export const portalNodesMax = 16;
/** Connections of one portal at one node: those of all portals of a pair share `streamsPerLinkMax`. */
export const portalConnectionsMax = 1_000;
/** What an inlet says at the beginning of a stream, and how long the outlet waits for it. */
export const portalOpeningBytesMax = 1 * KiB;
export const portalOpeningTimeoutMs = 10_000;
/** A node that does not answer an opening within this is passed over, where the portal names another. */
export const portalHeardTimeoutMs = 1_500;
/** Bytes of one connection that wait for its stream before the socket is not read any more. */
export const portalUnsentBytesMax = 256 * KiB;
/** Identifiers that an end of a portal accepts at the other, and certificates that an inlet accepts: those before and after a change. */
export const portalPinsMax = 32;
export const portalTlsPinsMax = 8;
/** Connections that one Nexus holds open for portals of mode `terminated`: of one session, and of all. Each costs two sockets' buffers. */
export const outletConnectionsPerSessionMax = 512;
export const outletConnectionsMax = 10_000;
/** Open connections are judged again this often: what Solaris takes back ends within 5 s. */
export const outletJudgeEveryMs = 4_000;
/** `sun_path` holds 104 bytes on macOS. */
export const portalPathLengthMax = 100;
/** Stream opens and HTTP requests a minute of a node whose credential names no `rate_limit_rpm`: what a licence has by default. */
export const rateLimitRpmDefault = 600;

// Portals that carry HTTP
/** Head of one request or answer as it travels: four times what the inlet's server takes (16 KiB), for names that repeat. */
export const httpHeadBytesMax = 64 * KiB;
export const httpHeadersMax = 200;
/** Path and query of a request. */
export const httpTargetLengthMax = 8 * KiB;
/** A head that has not come whole after this ends its exchange. */
export const httpHeadTimeoutMs = 10_000;
/** A body of a length that is known and at most this travels in one piece, with its head. */
export const httpSmallBodyBytesMax = 64 * KiB;
/** What is left of a request's body is taken for this long after the answer is complete. */
export const httpLingerMs = 5_000;
/** Headers that an inlet adds, characters of one value, and host names that it answers to. */
export const httpAddedHeadersMax = 16;
export const httpAddedValueLengthMax = 2_048;
export const httpHostsMax = 16;
/** One WebSocket message through a portal, and what may wait for a socket before its peer is not read any more. */
export const socketMessageBytesMax = 4 * MiB;
export const socketQueuedBytesMax = 1 * MiB;

// Policies: what is evaluated at every stream that another node opens
/** One for each portal of a node. */
export const policiesPerAgentMax = 64;
export const policyRulesMax = 16;
/** Characters of all rules of a policy: those of a node's 64 policies make half of its desired state. */
export const policyLengthMax = 8 * KiB;
/** Nodes of one rule's syntax tree, and how deep it nests. */
export const policyNodesMax = 512;
export const policyDepthMax = 16;
/** Elements of a list that a rule writes down. */
export const policyListMax = 100;
/** Steps of all rules of a policy in the worst case, as `lib/policy` counts them: a few milliseconds of the slowest. */
export const policyCostMax = 4_096;

// Heartbeat: a dead path is noticed within 15 s.
export const pingIntervalMs = 5_000;
export const pingTimeoutMs = 10_000;

// Session messages
export const bodyBytesMax = 1 * MiB;
/** What a batch gathers; one larger body travels alone. */
export const batchBytes = 256 * KiB;
export const batchMessagesMax = 512;
export const sessionMessageBytesMax = 2 * MiB;
/** One broker entry: it travels in one session message. */
export const entryBytesMax = sessionMessageBytesMax - 1_024;
export const nameLengthMax = 64;
export const idLengthMax = 64;
/** Unconfirmed entries of one lane at Nexus. */
export const laneUnconfirmedMax = 256;
export const laneUnconfirmedBytesMax = 1 * MiB;
export const lanesPerAgentMax = 64;

// Identity and statements
export const identityChangesMax = 64;
export const identityChainBytesMax = 64 * KiB;
/** Until then a node must have rotated: a change out of date can't be followed by another. */
export const identityLifeMs = 365 * 24 * 3_600_000;
/** A node makes its next keys when its last change is this old: a quarter of a life, and 64 changes last for 15 years. */
export const identityRotationMs = 90 * 24 * 3_600_000;
/** Former X25519 keys that a node keeps to open what was sealed to them before a rotation. */
export const formerAgreementKeysMax = 4;
export const statementBytesMax = 1 * MiB;
/** A `mercury-message` around the largest body: 4/3 of it, and 22 KiB for claims, header and signature. */
export const messageStatementBytesMax = 1_420 * KiB;
/** The largest statement, sealed: 4/3 of it, and 6 KiB for the header. Leaves 148 KiB of a session message. */
export const sealedBytesMax = 1_900 * KiB;
/** A message's body as it travels: plain, or sealed around a plain one. */
export const carriedBodyBytesMax = 1_900 * KiB;
/** Sender identities that one sealed plugin names, beside Solaris; bytes of one chain in a desired state. */
export const sealedSendersMax = 16;
/** How often a sealed message may be wrapped for a replay: each makes it 16/9 as large. */
export const sealedReplaysMax = 4;
/** Attributes of one credential, and characters of one text in them. */
export const attributesMax = 64;
export const attributeLengthMax = 512;
export const clockLeewayMs = 60_000;
/** What a session gives an agent that was away for longer than its credential lives, to have it renewed. */
export const renewWithinMs = 30_000;
export const headerLifeMs = 60_000;
export const credentialLifeMs = 3_600_000;
export const enrollmentTokenLifeMs = 24 * 3_600_000;
/** Characters of an enrollment token: a 512-byte gateway address and what else is in it. */
export const enrollmentTokenLengthMax = 1_024;
/** Bytes of the refusal that Solaris answers under a MAC. */
export const answerBytesMax = 512;

// Key management
export const keyNameLengthMax = 200;
/** A process begins a new data key after this, or after so many seals: random 96-bit nonces stay distinct (SP 800-38D §8.3). */
export const dataKeyLifeMs = 7 * 24 * 3_600_000;
export const dataKeySealsMax = 2 ** 30;
/** A data key that was unwrapped to open something is held this long, and at most so many are. */
export const dataKeyHeldMs = 3_600_000;
export const dataKeysHeldMax = 256;

// Before authentication, at Nexus
export const openingsPerAddressPerMinute = 120;
export const openingsPendingMax = 2_000;
export const unknownIdentifierMemoryMs = 60_000;
export const authorizationHeaderBytesMax = 4 * KiB;
export const enrollmentBodyBytesMax = 64 * KiB;
/** Request bodies of a Nexus at Solaris: a full digest of 20,000 sessions. */
export const nexusBodyBytesMax = 16 * MiB;

// Delivery
/** Messages of one `:batch` request, and its bytes: base64 of some full bodies beside many small ones. */
export const pushBatchMessagesMax = 500;
export const pushBatchBytesMax = 8 * MiB;
/** Bodies that wait in one Solaris for their lane's publish; past it pushes are told to come later. */
export const pushWaitingBytesMax = 64 * MiB;
export const pushWaitingLaneBytesMax = 16 * MiB;
export const deliveryTries = 5;
export const laneAgeMaxMs = 7 * 24 * 3_600_000;
export const idempotencyKeyLifeMs = 24 * 3_600_000;
/** A sealed message down that was signed longer ago is refused; the ids of those younger are all remembered, whatever time a broker tells. */
export const sealedDownAgeMaxMs = 7 * 24 * 3_600_000;
/** The same up, where a message is signed when it is sent: what the broker may hold back for a while. */
export const sealedUpAgeMaxMs = 7 * 24 * 3_600_000;
/** How long after a node's next key was made Solaris takes messages signed by the one before: those under way meanwhile. */
export const formerSignerMs = 3_600_000;
export const inboxBytesMax = 256 * MiB;
export const outboxBytesMax = 256 * MiB;
export const statusIntervalMinMs = 100;

// Plugins: what a system at the site may send
/** One page of a poll: eight of the largest bodies. */
export const pageBytesMax = 8 * MiB;
/** Items of one page: what one transaction of the outbox stores in well under a second. */
export const pageItemsMax = 10_000;
/** What is read of a system's answer to tell a person why it refused, and how much of it is told. */
export const answerReadBytesMax = 4 * KiB;
export const answerReasonLengthMax = 300;
/** Posts to one webhook under way at once, and the bytes of their bodies. */
export const webhookPendingMax = 256;
export const webhookPendingBytesMax = 16 * MiB;
export const webhookReadTimeoutMs = 20_000;
/** Files that one look at a directory considers, and those of one batch. */
export const directoryEntriesMax = 10_000;
export const fileBatchMax = 128;
/** Picked-up files that could not be put away; past it nothing more is picked up. */
export const filesLeftMax = 1_000;

if (recordPlaintextBytesMax + 16 > noiseMessageBytesMax) throw new RangeError("a record must fit a Noise message");
if (pingIntervalMs + pingTimeoutMs > 15_000) throw new RangeError("a dead path must be noticed within 15 s");
if (bodyBytesMax >= sessionMessageBytesMax) throw new RangeError("a body must fit a session message");
if (bodyBytesMax * (4 / 3) + 16 * KiB > messageStatementBytesMax)
  throw new RangeError("a body must fit a message statement");
if (Math.max(statementBytesMax, messageStatementBytesMax) * (4 / 3) + 2 * KiB > sealedBytesMax)
  throw new RangeError("every statement must fit when sealed");
if (sealedBytesMax > carriedBodyBytesMax) throw new RangeError("a message must carry whatever is sealed");
if (sealedBytesMax + 64 * KiB > sessionMessageBytesMax) throw new RangeError("a sealed one must fit a session message");
if (streamsPerLinkMax * streamInitialCreditBytes > linkCreditMax / 2)
  throw new RangeError("new streams must leave half of the link's credit to those that need more");
if (unackedBytesMax > wireBufferedBytesMax / 2)
  throw new RangeError("what is unacknowledged must fit the wire's queue");
if (unackedBytesMax > relayQueueBytesMax)
  throw new RangeError("what a node may have under way must fit what Nexus holds of a pair");
if (policiesPerAgentMax < portalsPerAgentMax)
  throw new RangeError("each portal of a node may name a policy of its own");
if (policiesPerAgentMax * policyLengthMax > statementBytesMax / 2)
  throw new RangeError("a node's policies must leave half of its desired state to the rest");
if (outletConnectionsPerSessionMax > streamsPerLinkMax / 2)
  throw new RangeError("connections that end in Nexus must leave a session streams of its own");
if (streamCreditBytes > linkCreditMax) throw new RangeError("one stream must fit its link's credit");
