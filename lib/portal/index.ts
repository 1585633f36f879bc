/** Connections through streams to another node (PROTOCOL §9): how one begins, and how it is joined to a socket. Layer 4. */
export { type Joined, joinSocket, resetReason } from "./join-socket.ts";
export { AnswerReader, encodeOpening, type PortalOpening, portalAnswer, readOpening } from "./opening.ts";
