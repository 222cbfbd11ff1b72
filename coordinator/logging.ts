import type { Logger } from 'pino';
import type { CoreEvent } from './core/outputs.js';

/**
 * Writes what happened in the core to the log. `msg` is the event's stable name, `detail` the sentence for people; ids are in
 * fields of their own. A task that succeeds is told at level debug only: at full load a line each would cost more than the task.
 */
export function logCoreEvent(log: Logger, event: CoreEvent): void {
  switch (event.name) {
    case 'attempt-ended':
      logAttempt(log, event);
      break;
    case 'task-ended': {
      const level = event.taskState === 'DEAD_LETTERED' ? 'warn' : 'debug';
      log[level]({ task_id: event.taskId, type: event.type, state: event.taskState }, event.name);
      break;
    }
    default: {
      const level = event.name === 'worker-lost' || event.name === 'zombie-detected' ? 'warn' : 'info';
      const { workerId, incarnation, attempts, message } = event;
      const fields = { worker_id: workerId, incarnation, attempts };
      log[level](message === '' ? fields : { ...fields, detail: message }, event.name);
    }
  }
}

function logAttempt(log: Logger, event: Extract<CoreEvent, { name: 'attempt-ended' }>): void {
  const level = event.outcome === 'SUCCEEDED' ? 'debug' : 'info';
  if (!log.isLevelEnabled(level)) return;
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
