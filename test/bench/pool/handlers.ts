/**
 * The handlers that everything in this comparison runs, pools and spawned processes alike. Imports only what Node has loaded
 * anyway: what a process has to load is its script's business.
 */

/** When a handler ran, and in which slot, of which there are so many as tasks run at a time. */
export interface TimedRun {
  /** On the clock of {@link machineMs}. */
  readonly enteredMs: number;
  readonly endedMs: number;
  readonly slot: number;
}

/** The monotonic clock that all processes of a machine share, in milliseconds. */
export function machineMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

export function echo(payload: unknown): unknown {
  return payload;
}

/** When it was entered. */
export function entered(): number {
  return machineMs();
}

/** Busy for so long, without using the processor; a process runs one task at a time, so it is the slot. */
export async function timed(runMs: number): Promise<TimedRun> {
  const enteredMs = machineMs();
  await new Promise((resolve) => setTimeout(resolve, runMs));
  return { enteredMs, endedMs: machineMs(), slot: process.pid };
}

export default { echo, entered, timed };
