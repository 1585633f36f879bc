/** Solaris' own identity for messages: signs what it seals to nodes, opens what is sealed to it (PROTOCOL §8). */
export { type Messenger, makeMessenger } from "./messenger.ts";
