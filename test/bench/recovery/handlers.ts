/** Handlers that say when they are entered, in the file that the environment names. */
import { appendFileSync } from 'node:fs';
import { machineMs } from '../pool/handlers.js';

/** Names the file. */
export const ENTRIES_VARIABLE = 'RECOVERY_ENTRIES';

/** An entry of a handler. */
export interface Entry {
  readonly atMs: number;
  readonly pid: number;
  readonly attempt: number;
}

function enter(attempt: number): void {
  const entry: Entry = { atMs: machineMs(), pid: process.pid, attempt };
  appendFileSync(process.env[ENTRIES_VARIABLE] ?? '', `${JSON.stringify(entry)}\n`);
}

export default {
  /** Its first attempt ends with its process only. */
  stays: async (_payload: unknown, { attempt, signal }: { attempt: number; signal: AbortSignal }): Promise<void> => {
    enter(attempt);
    if (attempt > 1) return;
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
  },

  brief: async (_payload: unknown, { attempt }: { attempt: number }): Promise<void> => {
    enter(attempt);
    await new Promise((resolve) => setTimeout(resolve, 20));
  },
};
