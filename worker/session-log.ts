import type { Logger } from 'pino';
import { foreignServerText } from '../client/foreign-server.js';
import type { SessionEvent } from './session-messages.js';

/** While no coordinator answers, or none of its tasks can be taken, say so at most this often. */
const QUIET_MS = 30_000;
/** Where a worker is told the address: its program, or createWorker(). */
const ADDRESS_SAID = '--address, REMUDA_ADDRESS or the option address';

/** Writes the session's events to a log whose lines carry worker_id and incarnation already. */
export class SessionLog {
  /** When a kind of trouble was last told, by status code or event: one kind must not hush up another. */
  private readonly saidMs = new Map<string, number>();
  private welcomedBefore = false;

  constructor(
    private readonly logger: Logger,
    private readonly address: string,
    private readonly nowMs: () => number,
  ) {}

  /** Writes one event. */
  write(event: SessionEvent): void {
    const { logger } = this;
    switch (event.name) {
      case 'welcome':
        this.welcome(event);
        break;
      case 'disconnected':
        this.disconnected(event);
        break;
      case 'hold':
        logger.info({ hold_ms: event.holdMs }, 'the coordinator restarts: what runs runs on');
        break;
      case 'lease-lost':
        logger.warn(
          { attempts: event.attempts },
          'lease lost: the coordinator was not heard; the signals of all handlers are aborted',
        );
        break;
      case 'draining':
        logger.info(
          { cause: event.cause, deadline_ms: Math.round(event.deadlineMs) },
          'draining: nothing new is taken',
        );
        break;
      case 'stuck':
        logger.error({ task_id: event.taskId, attempt: event.attempt, type: event.type }, `stuck: ${event.message}`);
        break;
      case 'refused-assignment':
        // A worker that has no place may be offered task after task.
        if (this.saidLately(event.name)) break;
        logger.warn({ task_id: event.taskId, attempt: event.attempt }, `given back unstarted: ${event.message}`);
        break;
      case 'report-refused':
        logger.warn(
          { task_id: event.taskId, attempt: event.attempt, reason: event.reason },
          'the coordinator did not count this report: the task had moved on',
        );
        break;
      case 'undelivered':
        logger.error({ task_ids: event.taskIds }, `leaving with reports undelivered: ${event.message}`);
        break;
      case 'superseded':
        logger.error(`superseded: ${event.message}`);
        break;
    }
  }

  private saidLately(kind: string): boolean {
    const nowMs = this.nowMs();
    if (nowMs - (this.saidMs.get(kind) ?? -Infinity) < QUIET_MS) return true;
    this.saidMs.set(kind, nowMs);
    return false;
  }

  private welcome(event: Extract<SessionEvent, { name: 'welcome' }>): void {
    const fields = {
      session_number: event.sessionNumber,
      address: this.address,
      coordinator_version: event.coordinatorVersion,
      lease_ms: event.leaseMs,
      heartbeat_interval_ms: event.heartbeatIntervalMs,
    };
    this.logger.info(fields, this.welcomedBefore ? 'welcomed again' : 'ready');
    this.welcomedBefore = true;
    this.saidMs.delete('UNAVAILABLE');
  }

  private disconnected(event: Extract<SessionEvent, { name: 'disconnected' }>): void {
    const { sessionNumber, code, reason, message, failures } = event;
    const fields = { session_number: sessionNumber, address: this.address, code, reason, failures };
    if (event.retryInMs === undefined) {
      this.logger.fatal(fields, `the coordinator at ${this.address} refuses this worker: ${message}`);
      return;
    }
    // The end of a session is one thing, nobody to dial is another.
    const isLoss = this.welcomedBefore && failures === 1 && code !== 'INVALID_ARGUMENT';
    const kind = isLoss ? 'loss' : code;
    if (this.saidLately(kind)) return;
    if (isLoss) {
      this.logger.warn(
        fields,
        `the session with the coordinator at ${this.address} ended (${code}: ${message}); dialling again`,
      );
      return;
    }
    if (code === 'INVALID_ARGUMENT') {
      this.logger.error(
        fields,
        `the coordinator at ${this.address} refused a frame of this worker (${message}), which is a bug, or the two are of ` +
          'versions that do not fit; run the same version on both sides, or report it; dialling again',
      );
      return;
    }
    const foreign = foreignServerText(this.address, event, ADDRESS_SAID);
    if (foreign !== undefined) {
      this.logger.warn(fields, `no session with a coordinator at ${this.address}: ${foreign}; dialling again`);
      return;
    }
    const advice =
      code === 'UNAVAILABLE'
        ? `is one running there (systemctl status remuda-coordinator)? Start it with: remuda-coordinator --listen ${this.address}`
        : 'dialling again';
    this.logger.warn(fields, `no session with a coordinator at ${this.address} (${code}: ${message}); ${advice}`);
  }
}
