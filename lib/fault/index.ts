/** What goes wrong outside this process, by stable code. Layer 0. */
export { asFault, Fault, type FaultDetail, faultFrom } from "./fault.ts";
export { FAULT_TABLE, type FaultCode, type FaultEntry, isFaultCode } from "./table.ts";
