/** Work that must be one over all replicas: a lease row with a fencing number (DESIGN §4, §9). */
export { type Lease, type Leases, makeLeases } from "./leases.ts";
export { type LeasedWork, underLease } from "./under-lease.ts";
