/** Prometheus metrics of one program: a registry of its own, so that two programs share a process. Layer 0. */
export { Counter, Gauge, Histogram, Registry } from "prom-client";
export { gaugeLoopLag } from "./loop-lag-gauge.ts";
