import type { Logger } from 'pino';
import type { CoreEvent } from './core/outputs.js';

/** Lines about attempts and tasks in a second; more would cost more than the tasks, when something that all need is down. */
const MAX_LINES_PER_SECOND = 100;

/**
 * Writes what happened in the core to the log. `msg` is the event's stable name, `detail` the sentence for people; ids are in
 * fields of their own. A task that succeeds is told at level debug only: at full load a line each would cost more than the task.
 * Of the others at most {@link MAX_LINES_PER_SECOND} are told, and how many were not.
 */
export class CoreEventLog {
  readonly #log: Logger;
  readonly #nowMs: () => number;
  #secondStartMs = 0;
  #lines = 0;
  #suppressed = 0;

  /** @param nowMs Monotonic milliseconds. */
  constructor(log: Logger, nowMs: () => number) {
    this.#log = log;
    this.#nowMs = nowMs;
  }

  write(event: CoreEvent): void {
    const log = this.#log;
    switch (event.name) {
      case 'attempt-started': {
        if (!log.isLevelEnabled('debug') || !this.#mayWrite()) break;
        const { taskId, type, attempt, workerId, startMs, reused } = event;
        const fields = { task_id: taskId, type, attempt, worker_id: workerId, start_ms: startMs, reused };
        log.debug(fields, event.name);
        break;
      }
      case 'attempt-ended': {
        const level = event.outcome === 'SUCCEEDED' ? 'debug' : 'info';
        if (log.isLevelEnabled(level) && this.#mayWrite()) logAttempt(log, level, event);
        break;
      }
      case 'task-ended': {
        const level = event.taskState === 'DEAD_LETTERED' ? 'warn' : 'debug';
        if (!log.isLevelEnabled(level) || !this.#mayWrite()) break;
        const { taskId, type, taskState, reason, message } = event;
        const fields = { task_id: taskId, type, state: taskState };
        log[level](reason === '' ? fields : { ...fields, reason, detail: message }, event.name);
        break;
      }
      case 'coordinator-stalled': {
        const detail =
          'the process did not run, or did not read its streams; leases moved by as much, one lease at most';
        log.warn({ gap_ms: Math.round(event.gapMs), detail }, event.name);
        break;
      }
      case 'task-requeued':
      case 'task-deleted':
        log.info({ task_id: event.taskId, type: event.type }, event.name);
        break;
      default: {
        const level = event.name === 'worker-lost' || event.name === 'zombie-detected' ? 'warn' : 'info';
        const { workerId, incarnation, attempts, message } = event;
        const fields = { worker_id: workerId, incarnation, attempts };
        log[level](message === '' ? fields : { ...fields, detail: message }, event.name);
      }
    }
  }

  #mayWrite(): boolean {
    const nowMs = this.#nowMs();
    if (nowMs - this.#secondStartMs >= 1_000) {
      if (this.#suppressed > 0) this.#log.warn({ count: this.#suppressed }, 'lines-suppressed');
      this.#secondStartMs = nowMs;
      this.#lines = 0;
      this.#suppressed = 0;
    }
    this.#lines += 1;
    if (this.#lines <= MAX_LINES_PER_SECOND) return true;
    this.#suppressed += 1;
    return false;
  }
}

function logAttempt(log: Logger, level: 'debug' | 'info', event: Extract<CoreEvent, { name: 'attempt-ended' }>): void {
  const { taskId, type, attempt, workerId, outcome, charge, taskState, reason, message, runMs, startDelayMs } = event;
  const fields = {
    task_id: taskId,
    type,
    attempt,
    worker_id: workerId,
    outcome,
    charge,
    state: taskState,
    run_ms: Math.round(runMs),
    start_delay_ms: Math.round(startDelayMs),
  };
  log[level](reason === '' ? fields : { ...fields, reason, detail: message }, event.name);
}
