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
export const handshakeTimeoutMs = 10_000;

// Mux
export const streamCreditBytes = 1 * MiB;
/** Unread bytes that one link may hold for all its streams. */
export const linkCreditMax = 8 * MiB;
export const streamsPerLinkMax = 1_024;
/** The wire's own queue: a larger one closes the link, since it can no longer be said what was sent. */
export const wireBufferedBytesMax = 16 * MiB;
/** Bytes of bulk that may be unacknowledged when nothing is known about the rate. */
export const unackedBytesMin = 64 * KiB;

// Heartbeat: a dead path is noticed within 15 s.
export const pingIntervalMs = 5_000;
export const pingTimeoutMs = 10_000;

// Session messages
export const bodyBytesMax = 1 * MiB;
/** What a batch gathers; one larger body travels alone. */
export const batchBytes = 256 * KiB;
export const batchMessagesMax = 512;
export const sessionMessageBytesMax = 2 * MiB;
export const nameLengthMax = 64;
export const idLengthMax = 64;
/** Unconfirmed entries of one lane at Nexus. */
export const laneUnconfirmedMax = 256;
export const laneUnconfirmedBytesMax = 1 * MiB;
export const lanesPerAgentMax = 64;

// Identity and statements
export const identityChangesMax = 64;
export const identityChainBytesMax = 64 * KiB;
export const statementBytesMax = 1 * MiB;
export const clockLeewayMs = 60_000;
export const headerLifeMs = 60_000;
export const credentialLifeMs = 3_600_000;
export const enrollmentTokenLifeMs = 24 * 3_600_000;

// Before authentication, at Nexus
export const openingsPerAddressPerMinute = 120;
export const openingsPendingMax = 2_000;
export const unknownIdentifierMemoryMs = 60_000;
export const authorizationHeaderBytesMax = 4 * KiB;
export const enrollmentBodyBytesMax = 64 * KiB;

// Delivery
export const deliveryTries = 5;
export const laneAgeMaxMs = 7 * 24 * 3_600_000;
export const idempotencyKeyLifeMs = 24 * 3_600_000;
export const inboxBytesMax = 256 * MiB;
export const outboxBytesMax = 256 * MiB;
export const statusIntervalMinMs = 100;

if (recordPlaintextBytesMax + 16 > noiseMessageBytesMax) throw new RangeError("a record must fit a Noise message");
if (pingIntervalMs + pingTimeoutMs > 15_000) throw new RangeError("a dead path must be noticed within 15 s");
if (bodyBytesMax >= sessionMessageBytesMax) throw new RangeError("a body must fit a session message");
if (streamCreditBytes > linkCreditMax) throw new RangeError("one stream must fit its link's credit");
