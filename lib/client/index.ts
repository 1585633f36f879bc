/** A cloud application with an identity of its own: sends and reads sealed messages (PROTOCOL §8). Layer 4. */
export { type ClientParts, type Pushed, type ReceivedSealed, SealedClient, type SealedPush } from "./sealed-client.ts";
export {
  createServiceIdentity,
  enrollService,
  openService,
  type Service,
  type ServiceParts,
} from "./service.ts";
