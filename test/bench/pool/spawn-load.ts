/** The host program that spawns a process for each task, so many at a time. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { servePeer } from '../serve-peer.js';
import type { TimedRun } from './handlers.js';
import { loadOperations, type Run } from './load.js';

let script: string;
/** Numbers of the slots that are free, and who waits for one. */
let free: number[] = [];
const waiting: ((slot: number) => void)[] = [];

/** What programs with a process per task do: the task in by the environment, the result out by standard output. */
async function spawnTask(type: string, payload: unknown): Promise<unknown> {
  const env = { ...process.env, TASK_TYPE: type, TASK_DATA: JSON.stringify(payload) };
  const child = spawn(process.execPath, [script], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  const [output, [code]] = await Promise.all([text(child.stdout), once(child, 'close') as Promise<[number | null]>]);
  if (code !== 0) throw new Error(`a process ended with ${code}`);
  return JSON.parse(output);
}

const run: Run = async (type, payload) => {
  const slot = free.pop() ?? (await new Promise<number>((resolve) => waiting.push(resolve)));
  try {
    const result = await spawnTask(type, payload);
    // The process is gone; the slot is what the next one takes.
    return type === 'timed' ? { ...(result as TimedRun), slot } : result;
  } finally {
    const next = waiting.shift();
    if (next === undefined) free.push(slot);
    else next(slot);
  }
};

async function open({ name, workers }: { name: string; workers: number }): Promise<void> {
  script = fileURLToPath(new URL(`./${name}.js`, import.meta.url));
  free = Array.from({ length: workers }, (_, slot) => slot);
  // Its files are in the page cache then.
  await run('echo', null);
}

servePeer({ open, close: () => null, ...loadOperations(run) });
