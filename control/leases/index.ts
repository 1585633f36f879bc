/** Work that must be one over all replicas: a lease row with a fencing number (DESIGN §4, §9). */
export { type Lease, makeLeases } from "./leases.ts";
export { underLease } from "./under-lease.ts";
