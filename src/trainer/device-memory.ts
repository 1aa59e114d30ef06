/**
 * How much memory a rank may take: what the configuration says, or the device, or the machine.
 *
 * @module
 */
import { existsSync } from "node:fs";
import type { SharedConfig } from "../config/index.js";
import { findPython, probePython } from "../python/index.js";

export interface DeviceMemory {
  /** Apple's devices share the machine's memory, as a CPU does. */
  readonly device: "cpu" | "cuda";
  /** Bytes of one device, or of the machine; null: nobody knows. */
  readonly bytes: number | null;
  /** Who says so, in words. */
  readonly source: string;
  /** CUDA devices that there are; of a device that only the configuration knows, as many as a machine has at most. */
  readonly devices: number;
}

/** Signs of a driver: without one torch, which takes seconds to start, need not be asked. */
const DRIVER = ["/dev/nvidiactl", "/dev/dxg"];

/** Devices of the largest usual machine. */
const MOST_DEVICES = 8;

const GIB = 2 ** 30;

export async function findDeviceMemory(
  config: Pick<SharedConfig, "device" | "device_memory_gb" | "python_bin" | "worker_address">,
): Promise<DeviceMemory> {
  const { device, device_memory_gb: told, worker_address: address } = config;
  const named = device.startsWith("cuda");
  // What this machine has says nothing of workers of other machines, which have devices as a rule.
  const driver = address !== null || DRIVER.some((file) => existsSync(file));
  const possible = named || (device === "auto" && driver);
  if (told !== null) {
    const source = "device_memory_gb";
    return { device: possible ? "cuda" : "cpu", bytes: told * GIB, source, devices: possible ? MOST_DEVICES : 1 };
  }
  if (address !== null) {
    const source = "workers of other machines, which are not asked before the run";
    return { device: possible ? "cuda" : "cpu", bytes: null, source, devices: MOST_DEVICES };
  }
  const found = possible ? await cudaMemory(config) : [];
  const own = found[Number(device.split(":")[1] ?? 0)];
  if (own !== undefined) return { device: "cuda", bytes: own, source: "torch", devices: found.length };
  if (named) return { device: "cuda", bytes: null, source: "torch, which sees no such device", devices: MOST_DEVICES };
  return { device: "cpu", bytes: process.availableMemory(), source: "what the machine has available", devices: 1 };
}

async function cudaMemory({ python_bin: python }: Pick<SharedConfig, "python_bin">): Promise<readonly number[]> {
  const env = python === null ? process.env : { ...process.env, PYTHON_BIN: python };
  const { torch } = await probePython({ location: findPython({ env, cwd: process.cwd() }) });
  return torch?.cuda_memory ?? [];
}
