/** Whole binary messages to one peer: WebSocket of both sides, a relayed one, and a pair in memory. Layer 3. */
export { closeCode } from "./close-code.ts";
export {
  type MemoryWireOptions,
  type MemoryWirePair,
  memoryWirePair,
  type Passage,
  type Path,
} from "./memory-wire.ts";
export { type RelayedPort, RelayedWire } from "./relayed-wire.ts";
export { type ServerSocket, type ServerSocketReceiver, serverWire } from "./socket-wire.ts";
export {
  connectWebSocket,
  type WebSocketConnection,
  type WebSocketConnectOptions,
  type WebSocketTarget,
} from "./websocket-wire.ts";
export type { Wire, WireReceiver } from "./wire.ts";
