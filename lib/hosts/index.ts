/** Which hosts and ports a list lets somebody reach: addresses, ranges, lines of a list. Layer 1, pure. */
export { type IpAddress, isLoopback, parseAddress } from "./addresses.ts";
export { checkHostRule, HostRules } from "./host-rules.ts";
