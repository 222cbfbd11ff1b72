import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { StreamEnd } from '../../../client/frame-stream.js';
import { AttemptOutcome } from '../../../proto/gen/remuda/v1/task_pb.js';
import {
  ConnectResponseSchema,
  type AttemptRef,
  type ConnectRequest,
} from '../../../proto/gen/remuda/v1/worker_service_pb.js';
import { attemptKey } from '../../../worker/attempt-book.js';
import type { SessionEffect } from '../../../worker/session-effects.js';
import { SessionMachine } from '../../../worker/session-machine.js';
import type { SessionOptions } from '../../../worker/session-options.js';
import type { Settlement } from '../../../worker/session-messages.js';
import { failureInfo } from '../../../worker/thrown.js';

type ResponseInit = MessageInitShape<typeof ConnectResponseSchema>;
type WelcomeInit = NonNullable<ResponseInit['welcome']>;

export const OPTIONS: SessionOptions = {
  ...{ workerId: 'w/0', incarnation: 'a'.repeat(32), replaces: ['b'.repeat(32)], version: '1', host: 'h', pid: 1 },
  taskTypes: [
    { type: 'work', slots: 0, timeoutMs: undefined },
    { type: 'rare', slots: 1, timeoutMs: 2_000 },
  ],
  ...{ labels: { zone: 'a' }, slots: 2, prefetch: 1, onStuck: 'exit', address: '127.0.0.1:1' },
};

/** Drives a machine by hand: a clock, what it wants done, what it wrote, and a coordinator that acknowledges at will. */
export class Rig {
  nowMs = 1_000;
  readonly machine: SessionMachine;
  readonly effects: SessionEffect[] = [];
  readonly frames: ConnectRequest[] = [];
  private seq = 0n;
  private acked = 0n;

  constructor(options: Partial<SessionOptions> = {}) {
    this.machine = new SessionMachine({ ...OPTIONS, ...options }, { random: () => 0.5 });
  }

  /** One turn of a host. */
  turn(): void {
    this.machine.tick(this.nowMs);
    for (let effects = this.machine.takeEffects(); effects.length > 0; effects = this.machine.takeEffects()) {
      for (const effect of effects) {
        this.effects.push(effect);
        if (effect.kind === 'measure') this.machine.load({ cpuMillis: 1, rssBytes: 2, handlerLoopLagMs: 3 });
        if (effect.kind === 'dial') {
          this.seq = 0n;
          this.acked = 0n;
        }
      }
    }
    for (
      let frame = this.machine.takeFrame(this.nowMs);
      frame !== undefined;
      frame = this.machine.takeFrame(this.nowMs)
    ) {
      this.frames.push(frame);
      if (frame.seq > this.acked) this.acked = frame.seq;
    }
  }

  /** Goes to a time, waking the machine whenever it wants to be woken. `alive`: the main thread turns all the while. */
  advance(ms: number, { acknowledge = false, alive = true } = {}): void {
    const untilMs = this.nowMs + ms;
    if (alive) this.machine.loopAnswered();
    else this.machine.loopAsked(this.nowMs);
    for (let guard = 0; guard < 10_000; guard += 1) {
      const nextMs = Math.min(untilMs, Math.max(this.nowMs, this.machine.deadlineMs()));
      this.nowMs = nextMs;
      this.turn();
      if (acknowledge) this.say({});
      if (nextMs >= untilMs) return;
    }
    throw new Error('the machine wants to be woken for ever');
  }

  get sessionNumber(): number {
    const dials = this.effects.filter((effect) => effect.kind === 'dial');
    return dials.at(-1)?.sessionNumber ?? 0;
  }

  /** A frame of the coordinator, acknowledging everything; an empty one is a bare acknowledgement. */
  say(frame: ResponseInit, where: { ack?: bigint; session?: number } = {}): void {
    this.hear(frame, where);
    this.turn();
  }

  /** The same without a turn: more may arrive in it. */
  hear(frame: ResponseInit, { ack = this.acked, session = this.sessionNumber } = {}): void {
    const bare = Object.keys(frame).length === 0;
    if (!bare) this.seq += 1n;
    this.machine.frame(
      this.nowMs,
      session,
      create(ConnectResponseSchema, { ...frame, seq: bare ? 0n : this.seq, ack }),
    );
  }

  /** From start or the end of a back-off to a welcome. */
  connect(welcome: WelcomeInit = {}): ConnectRequest {
    if (this.machine.state.t === 'Idle') this.machine.start(this.nowMs);
    if (this.machine.state.t === 'BackingOff') this.advance(this.machine.state.dialAtMs - this.nowMs);
    this.turn();
    this.machine.opened(this.sessionNumber);
    this.turn();
    const hello = this.frames.at(-1);
    if (hello?.hello === undefined) throw new Error('no hello');
    this.say({
      welcome: {
        heartbeatIntervalMs: 5_000,
        leaseMs: 15_000,
        maxPayloadBytes: 1_000,
        stuckGraceMs: 10_000,
        ...welcome,
      },
    });
    return hello;
  }

  /** The stream ends. */
  cut(end: Partial<StreamEnd> = {}): void {
    this.machine.ended(this.nowMs, this.sessionNumber, { code: 'UNAVAILABLE', reason: '', message: 'cut', ...end });
    this.turn();
  }

  assign(...tasks: [string, { type?: string; timeoutMs?: number; attempt?: number }?][]): void {
    const assignments = tasks.map(([taskId, { type = 'work', timeoutMs = 60_000, attempt = 1 } = {}]) => {
      return { attempt: ref(taskId, attempt), type, timeoutMs };
    });
    this.say({ assignments });
  }

  started(taskId: string, attempt = 1): void {
    this.machine.started(this.nowMs, attemptKey(ref(taskId, attempt)));
    this.turn();
  }

  settle(taskId: string, settlement: Settlement = RETURNED): void {
    this.machine.settled(this.nowMs, key(taskId), settlement, 5);
    this.turn();
  }

  /** Assigned and entered. */
  running(...taskIds: string[]): void {
    this.assign(...taskIds.map((taskId): [string] => [taskId]));
    for (const taskId of taskIds) this.started(taskId);
  }

  /** Task ids handed to the main thread, in order. */
  get run(): string[] {
    return this.effects.flatMap((effect) =>
      effect.kind === 'run' ? effect.tasks.map((task) => task.assignment.attempt?.taskId ?? '') : [],
    );
  }

  /** `task:cause` of all aborts. */
  get aborts(): string[] {
    return this.effects.flatMap((effect) =>
      effect.kind === 'abort' ? [`${effect.key.split('/')[0]}:${effect.cause}`] : [],
    );
  }

  get events(): string[] {
    return this.effects.flatMap((effect) => (effect.kind === 'event' ? [effect.event.name] : []));
  }

  get exit() {
    return this.effects.find((effect) => effect.kind === 'exit')?.exit;
  }

  /** All reports written, also repeats. */
  get reports() {
    return this.frames.flatMap(({ reports }) => reports);
  }

  get notStarted(): string[] {
    return this.frames.flatMap(({ notStarted }) => notStarted.map(({ taskId }) => taskId));
  }

  acknowledge(...taskIds: string[]): void {
    this.say({ reportAcks: taskIds.map((taskId) => ({ attempt: ref(taskId), accepted: true })) });
  }
}

export const RETURNED: Settlement = {
  kind: 'returned',
  contentType: 'application/json',
  data: new Uint8Array([52, 50]),
};
export const THREW: Settlement = { kind: 'threw', failure: failureInfo('HANDLER_ERROR', 'oops', false, 'stack') };

export function ref(taskId: string, attempt = 1): Pick<AttemptRef, 'taskId' | 'attempt' | 'leaseId'> {
  return { taskId, attempt, leaseId: 'f'.repeat(16) };
}

export const key = (taskId: string): string => attemptKey(ref(taskId));

/** `task:OUTCOME` of all reports written. */
export const outcomes = (rig: Rig): string[] =>
  rig.reports.map(({ attempt, outcome }) => `${attempt?.taskId}:${AttemptOutcome[outcome]}`);
