import { create } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import type { CallKind, OnAbandon, StreamEffect } from '../../../client/stream-call.js';
import { TaskStreamMachine } from '../../../client/task-stream-machine.js';
import {
  SubmitTaskRequestSchema,
  type OpenTaskStreamRequest,
  type SubmitTaskRequest,
} from '../../../proto/gen/remuda/v1/task_service_pb.js';
import { Prng } from '../../sim/random.js';
import { ModelCoordinator } from './model-coordinator.js';

const SEEDS = 200;
const STEPS = 400;
const BOUNDS = { maxInFlight: 6, maxInFlightBytes: 500, maxWaiting: 1_000 };

interface Made {
  readonly kind: CallKind;
  readonly taskId: string;
  readonly type: string;
  readonly deadlineMs: number;
  readonly outcomes: string[];
  /** When it was sent first, or heard that it never will be. */
  sentMs: number | undefined;
  expiredMs: number | undefined;
  abandoned: { readonly onAbandon: OnAbandon; readonly stage: string | undefined } | undefined;
}

/** Calls, aborts, lost streams, late frames, refusals and deletions in any order, over few ids so that calls meet. */
class Monkey {
  readonly coordinator = new ModelCoordinator();
  readonly machine: TaskStreamMachine;
  readonly calls = new Map<number, Made>();
  readonly cancels: string[] = [];
  private readonly tasks = new Map<SubmitTaskRequest | undefined, Made>();
  private readonly draw: Prng;
  private nowMs = 0;
  private stream: { readonly number: number; opened: boolean } | undefined;
  /** On their way up. */
  private up: OpenTaskStreamRequest[] = [];

  constructor(seed: number) {
    this.draw = new Prng(seed);
    this.machine = new TaskStreamMachine({
      ...BOUNDS,
      ...{ address: 'a:1', addressSaid: 'a', connectTimeoutMs: 5_000, waitForReady: true },
      random: () => this.draw.next(),
    });
  }

  step(): void {
    const { draw } = this;
    const acts = [
      this.call,
      this.call,
      this.abandon,
      this.carryUp,
      this.carryDown,
      this.open,
      this.end,
      this.flush,
      this.flush,
    ];
    if (draw.chance(0.03)) this.cut();
    if (draw.chance(0.03)) this.coordinator.refuses = !this.coordinator.refuses;
    if (draw.chance(0.05)) this.delete();
    draw.pick(acts).call(this);
    this.nowMs += draw.int(0, 200);
    const { inFlight, inFlightBytes } = this.machine.calls;
    expect(inFlight).toBeLessThanOrEqual(BOUNDS.maxInFlight);
    expect(inFlightBytes).toBeLessThanOrEqual(BOUNDS.maxInFlightBytes);
  }

  /** No more faults: whatever can end, ends. */
  settle(): void {
    this.coordinator.refuses = false;
    for (let round = 0; round < 200; round += 1) {
      this.nowMs += 500;
      this.flush();
      this.open();
      this.flush();
      while (this.up.length > 0) this.carryUp();
      for (const taskId of this.coordinator.tasks.keys()) this.coordinator.end(taskId);
      this.carryDown();
    }
    this.flush();
    while (this.up.length > 0) this.carryUp();
  }

  private call(): void {
    const { draw, machine, calls } = this;
    const callId = calls.size + 1;
    const kind = draw.pick(['submit', 'run', 'run', 'result'] as const);
    const [taskId, type] = [`t${draw.int(1, 12)}`, draw.chance(0.9) ? 'usual' : 'other'];
    const task = kind === 'result' ? undefined : create(SubmitTaskRequestSchema, { taskId, type });
    const deadlineMs = task !== undefined && draw.chance(0.3) ? this.nowMs + draw.int(1, 2_000) : Infinity;
    const nothing = { outcomes: [], abandoned: undefined, sentMs: undefined, expiredMs: undefined };
    const made: Made = { kind, taskId, type, deadlineMs, ...nothing };
    calls.set(callId, made);
    if (task !== undefined) this.tasks.set(task, made);
    machine.add({ callId, kind, taskId, task, bytes: kind === 'result' ? 0 : draw.int(10, 200), deadlineMs });
  }

  private abandon(): void {
    const callId = this.draw.int(1, Math.max(1, this.calls.size));
    const made = this.calls.get(callId);
    if (made === undefined || made.abandoned !== undefined) return;
    const onAbandon = this.draw.pick(['cancel', 'keep'] as const);
    const stage = this.machine.abandon(callId, onAbandon);
    if (stage !== undefined) made.abandoned = { onAbandon, stage };
  }

  private flush(): void {
    const { machine } = this;
    machine.tick(this.nowMs);
    this.take(machine.takeEffects());
    for (let frames = this.draw.int(1, 3); frames > 0; frames -= 1) {
      const frame = this.stream?.opened === true ? machine.takeFrame(this.nowMs) : undefined;
      if (frame === undefined) continue;
      this.up.push(frame);
      for (const { task } of frame.submits) {
        const made = this.tasks.get(task);
        if (made !== undefined) made.sentMs ??= this.nowMs;
      }
    }
    this.take(machine.takeEffects());
  }

  private take(effects: readonly StreamEffect[]): void {
    for (const effect of effects) {
      if (effect.kind === 'dial') this.stream = { number: effect.streamNumber, opened: false };
      if (effect.kind === 'hangUp') this.drop();
      if (effect.kind === 'cancel') this.cancels.push(effect.taskId);
      if (effect.kind === 'failed') {
        const made = this.calls.get(effect.callId);
        made?.outcomes.push(effect.error.reason);
        if (made !== undefined && effect.error.reason === 'DEADLINE_PASSED') made.expiredMs = this.nowMs;
      }
      if (effect.kind === 'ended' || effect.kind === 'accepted')
        this.calls.get(effect.callId)?.outcomes.push(effect.kind);
    }
  }

  private open(): void {
    if (this.stream === undefined || this.stream.opened) return;
    this.stream.opened = true;
    this.machine.opened(this.nowMs, this.stream.number);
  }

  private carryUp(): void {
    const frame = this.up.shift();
    if (frame !== undefined) this.coordinator.hear(frame);
  }

  private carryDown(): void {
    const frame = this.stream?.opened === true ? this.coordinator.speak() : undefined;
    if (frame !== undefined) this.machine.frame(this.nowMs, this.stream?.number ?? 0, frame);
  }

  private end(): void {
    const open = [...this.coordinator.tasks.keys()].filter((taskId) => !this.coordinator.ended.has(taskId));
    if (open.length > 0) this.coordinator.end(this.draw.pick(open));
  }

  private delete(): void {
    const { ended } = this.coordinator;
    if (ended.size > 0) this.coordinator.delete(this.draw.pick([...ended]));
  }

  private cut(): void {
    const { stream } = this;
    if (stream === undefined) return;
    // Some of what was on its way arrives all the same.
    while (this.up.length > 0 && this.draw.chance(0.7)) this.carryUp();
    this.drop();
    this.machine.ended(this.nowMs, stream.number, { code: 'UNAVAILABLE', reason: '', message: 'cut' });
  }

  private drop(): void {
    this.stream = undefined;
    this.up = [];
    this.coordinator.cut();
  }
}

/** What is wrong with what became of a call; undefined if nothing. */
function faultOf(made: Made, { coordinator, cancels }: Monkey): string | undefined {
  const { kind, taskId, type, deadlineMs, outcomes, abandoned, sentMs, expiredMs } = made;
  const said = `${kind} ${taskId} ${JSON.stringify({ outcomes, abandoned })}`;
  const wasDeleted = coordinator.deleted.has(taskId);
  const [last = 'nothing'] = outcomes.slice(-1);
  if (sentMs !== undefined && sentMs >= deadlineMs) return `${said}: sent after its deadline`;
  if (expiredMs !== undefined && (sentMs !== undefined || expiredMs < deadlineMs)) return `${said}: expired wrongly`;
  if (abandoned !== undefined) {
    if (last === 'ended' || (kind === 'submit' && last === 'accepted'))
      return `${said}: answered after it was abandoned`;
    const wants = kind === 'run' && abandoned.onAbandon === 'cancel' && abandoned.stage !== 'unsent';
    const submit = `${taskId} ${type}`;
    const wasRefused = coordinator.refused.has(taskId) || coordinator.taken.has(submit);
    const isThere = coordinator.known.has(submit) && !wasRefused;
    return wants && isThere && !cancels.includes(taskId) ? `${said}: not cancelled` : undefined;
  }
  if (new Set(outcomes).size !== outcomes.length) return `${said}: told twice`;
  switch (last) {
    case 'accepted':
      return kind === 'submit' && coordinator.known.has(`${taskId} ${type}`)
        ? undefined
        : `${said}: not over, or not there`;
    case 'ended':
      return kind !== 'submit' && (coordinator.ended.has(taskId) || wasDeleted) ? undefined : `${said}: has not ended`;
    case 'DEADLINE_PASSED':
      return undefined;
    case 'TASK_ID_TAKEN':
      return coordinator.tasks.get(taskId) === type && !wasDeleted ? `${said}: is its own` : undefined;
    case 'TASK_NOT_FOUND':
      return kind === 'result' || (kind === 'run' && wasDeleted) ? undefined : `${said}: was accepted`;
    default:
      return `${said}: never over`;
  }
}

describe('a task stream under any order of events', () => {
  it('should end each call once and rightly, cancel what is to be cancelled, and leave nothing awaited', () => {
    let ended = 0;
    let cancelled = 0;
    let expired = 0;
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      const monkey = new Monkey(seed);
      for (let step = 0; step < STEPS; step += 1) monkey.step();
      monkey.settle();
      const faults = [...monkey.calls.values()].flatMap((made) => faultOf(made, monkey) ?? []);
      const aborted = [...monkey.calls.values()].filter(({ abandoned }) => abandoned?.onAbandon === 'cancel');
      const stray = monkey.cancels.filter((taskId) => !aborted.some((made) => made.taskId === taskId));
      const { size, inFlight, inFlightBytes, waiting } = monkey.machine.calls;
      const awaited = [...monkey.coordinator.awaited];
      expect({ seed, faults, stray, awaited, size, inFlight, inFlightBytes, waiting }).toEqual({
        ...{ seed, faults: [], stray: [], awaited: [], size: 0, inFlight: 0, inFlightBytes: 0, waiting: 0 },
      });
      ended += [...monkey.calls.values()].filter(({ outcomes }) => outcomes.includes('ended')).length;
      cancelled += monkey.cancels.length;
      expired += [...monkey.calls.values()].filter(({ expiredMs }) => expiredMs !== undefined).length;
    }
    // It reaches what it is to test.
    expect(ended).toBeGreaterThan(SEEDS);
    expect(cancelled).toBeGreaterThan(SEEDS);
    expect(expired).toBeGreaterThan(SEEDS);
  });
});
