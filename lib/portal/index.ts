/** Connections through streams to another node (PROTOCOL §9): how one begins, and how it is joined to a socket. Layer 4. */

export { dialService } from "./dial-service.ts";
export { bodyStream, wholeBody } from "./http-body.ts";
export {
  type ByteSource,
  encodeHead,
  type HttpAnswerHead,
  type HttpHeaders,
  type HttpRequestHead,
  readAnswerHead,
  readRequestHead,
} from "./http-head.ts";
export { endToEnd, ofTheClient } from "./http-headers.ts";
export { type Joined, joinSocket, resetReason } from "./join-socket.ts";
export { AnswerReader, encodeOpening, type PortalOpening, portalAnswer, readOpening } from "./opening.ts";
export { RateLimits } from "./rate-limits.ts";
export { encodeSocketMessage, type SocketMessage, socketMessages } from "./socket-messages.ts";
export { type PortalStream, socketStream } from "./socket-stream.ts";
