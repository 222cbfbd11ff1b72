/** The handlers file of a chaos run's workers. Each says in the ledger what it does, before the worker hears of it. */
import { setTimeout as delay } from 'node:timers/promises';
import { TaskAbortedError, type TaskContext } from '../../worker/task-handler.js';
import { handlerFile, LedgerFile, machineMs, type HandlerLine } from './ledger.js';
import { FATAL_REASON, FLAKY_REASON, resultFor, TASK_KINDS, type ChaosPayload, type TaskKind } from './task-kinds.js';

/** A proof of life so often, while handlers run. */
const TICK_MS = 200;
/** The loop that has not turned for so long was blocked, stopped or starved. */
const GAP_MS = 500;

let running = 0;
let file: LedgerFile<HandlerLine> | undefined;

function append(line: HandlerLine): void {
  file?.append(line);
}

function watchLoop(lastMs: number): void {
  const timer = setTimeout(() => {
    const tMs = machineMs();
    if (tMs - lastMs > GAP_MS) append({ is: 'gap', tMs, fromMs: lastMs });
    else if (running > 0) append({ is: 'alive', tMs });
    watchLoop(tMs);
  }, TICK_MS);
  timer.unref();
}

const WORK: Record<TaskKind, (payload: ChaosPayload, ctx: TaskContext) => Promise<void> | void> = {
  quick: heedful,
  slow: heedful,
  long: heedful,
  once: heedful,
  cancelled: heedful,
  deadline: heedful,
  big: heedful,
  flaky: async (payload, ctx) => {
    await heedful(payload, ctx);
    if (ctx.failureCount < payload.failures) throw failure(FLAKY_REASON, true);
  },
  fatal: async (payload, ctx) => {
    await heedful(payload, ctx);
    throw failure(FATAL_REASON, false);
  },
  deaf: ({ workMs }) => delay(workMs),
  // The time-out's abort, too, is ignored; the timer keeps the process as a handler's own would.
  stuck: () => new Promise(() => setTimeout(() => undefined, 2 ** 30)),
  block: ({ workMs }) => {
    const endMs = machineMs() + workMs;
    while (machineMs() < endMs);
  },
  poison: (_payload, { taskId, attempt }) => {
    append({ is: 'kills-itself', tMs: machineMs(), taskId, attempt });
    process.kill(process.pid, 'SIGKILL');
  },
};

async function heedful({ workMs }: ChaosPayload, { signal }: TaskContext): Promise<void> {
  await delay(workMs, undefined, { signal }).catch((error: unknown) => {
    throw signal.aborted ? signal.reason : error;
  });
}

function failure(reason: string, retryable: boolean): Error {
  return Object.assign(new Error(`meant to fail: ${reason}`), { reason, retryable });
}

async function attend(kind: TaskKind, payload: ChaosPayload, ctx: TaskContext): Promise<unknown> {
  const { taskId, attempt, signal } = ctx;
  const of = { taskId, attempt };
  const { worker_id: workerId, incarnation } = ctx.logger.bindings();
  append({ is: 'entered', tMs: machineMs(), ...of, workerId: String(workerId), incarnation: String(incarnation) });
  running += 1;
  const onAbort = (): void => {
    const reason: unknown = signal.reason;
    const cause = reason instanceof TaskAbortedError ? reason.abortCause : String(reason);
    append({ is: 'aborted', tMs: machineMs(), ...of, cause });
  };
  signal.addEventListener('abort', onAbort, { once: true });
  let how: 'returned' | 'threw' = 'threw';
  try {
    await WORK[kind](payload, ctx);
    how = 'returned';
    return resultFor(taskId, payload);
  } finally {
    running -= 1;
    append({ is: 'left', tMs: machineMs(), ...of, how });
    signal.removeEventListener('abort', onAbort);
  }
}

const handlers = TASK_KINDS.map((kind) => [
  `chaos.${kind}`,
  (payload: ChaosPayload, ctx: TaskContext) => attend(kind, payload, ctx),
]);

export default {
  ...Object.fromEntries(handlers),
  setup: () => {
    const folder = process.env['CHAOS_LEDGER'];
    if (folder === undefined) throw new Error('CHAOS_LEDGER is not set: this file is for `npm run chaos` alone');
    file = new LedgerFile(handlerFile(folder, process.ppid, process.pid));
    watchLoop(machineMs());
  },
};
