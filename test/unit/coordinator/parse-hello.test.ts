import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { status as Code } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { HelloSchema } from '../../../proto/gen/remuda/v1/worker_service_pb.js';
import { parseHello } from '../../../coordinator/session/parse-hello.js';
import { HELLO, ref, refusal } from './session-support.js';

type HelloInit = MessageInitShape<typeof HelloSchema>;

function parse(changes: HelloInit = {}) {
  return parseHello(create(HelloSchema, { ...HELLO, ...changes } as HelloInit));
}

function labels(count: number): Record<string, string> {
  return Object.fromEntries(Array.from({ length: count }, (_, index) => [`key-${index}`, 'v']));
}

function times<T>(count: number, make: (index: number) => T): T[] {
  return Array.from({ length: count }, (_, index) => make(index));
}

const INCARNATION = 'b'.repeat(32);

describe('parseHello', () => {
  it('takes what a worker says of itself', () => {
    const parsed = parse({
      replaces: [INCARNATION],
      version: '1.0',
      host: 'h',
      pid: 9,
      labels: { zone: 'a' },
      prefetch: 1,
      running: [{ attempt: ref(1), started: true }],
      unsentReports: [ref(2)],
    });
    expect(parsed).toEqual({
      workerId: 'w1',
      incarnation: HELLO.incarnation,
      sessionNumber: 1,
      replaces: [INCARNATION],
      version: '1.0',
      host: 'h',
      pid: 9,
      taskTypes: new Map([['echo', 2]]),
      labels: { zone: 'a' },
      slots: 2,
      prefetch: 1,
      running: [{ ref: ref(1), started: true }],
      unsentReports: [ref(2)],
    });
  });

  it('takes 0 slots of a type as all of them', () => {
    const taskTypes = [
      { type: 'a', slots: 0 },
      { type: 'b', slots: 1 },
    ];
    expect([...parse({ taskTypes }).taskTypes]).toEqual([
      ['a', 2],
      ['b', 1],
    ]);
  });

  it('takes a task id in capitals as the one that it names', () => {
    const attempt = { ...ref(1), taskId: 'ABCDEF00-0000-4000-8000-000000000001' };
    expect(parse({ unsentReports: [attempt] }).unsentReports[0]?.taskId).toBe(attempt.taskId.toLowerCase());
  });

  it.each<[string, HelloInit]>([
    ['the longest worker_id', { workerId: 'w'.repeat(127) }],
    ['every character of a worker_id', { workerId: '0aZ._:/@-' }],
    ['64 replaced incarnations', { replaces: times(64, () => INCARNATION) }],
    ['the longest version and host', { version: 'v'.repeat(63), host: 'h'.repeat(253) }],
    ['1,000 slots and as much prefetch', { slots: 1_000, prefetch: 1_000 }],
    ['256 types', { taskTypes: times(256, (index) => ({ type: `t${index}`, slots: 2 })) }],
    ['64 labels', { labels: labels(64) }],
    ['the longest label', { labels: { ['k'.repeat(63)]: 'v'.repeat(63) } }],
    ['an empty label value', { labels: { key: '' } }],
    ['as many running as slots and prefetch', { prefetch: 1, running: times(3, (n) => ({ attempt: ref(n) })) }],
    ['4,096 unsent reports', { unsentReports: times(4_096, ref) }],
  ])('takes %s', (_what, changes) => {
    expect(() => parse(changes)).not.toThrow();
  });

  it.each<[string, HelloInit, string]>([
    ['an empty worker_id', { workerId: '' }, 'worker_id'],
    ['a worker_id that is too long', { workerId: 'w'.repeat(128) }, 'worker_id'],
    ['a worker_id with a space', { workerId: 'w 1' }, 'worker_id'],
    ['a worker_id that begins with a dot', { workerId: '.w' }, 'worker_id'],
    ['a worker_id that ends with a line break', { workerId: 'w\n' }, 'worker_id'],
    ['an incarnation in capitals', { incarnation: 'A'.repeat(32) }, 'incarnation'],
    ['a short incarnation', { incarnation: 'a'.repeat(31) }, 'incarnation'],
    ['session number 0', { sessionNumber: 0 }, 'session_number'],
    ['65 replaced incarnations', { replaces: times(65, () => INCARNATION) }, 'replaces'],
    ['a replaced incarnation that is none', { replaces: [INCARNATION, 'x'] }, 'replaces[1]'],
    ['a long version', { version: 'v'.repeat(64) }, 'version'],
    ['a long host', { host: 'h'.repeat(254) }, 'host'],
    ['no slots', { slots: 0 }, 'slots'],
    ['negative slots', { slots: -1 }, 'slots'],
    ['1,001 slots', { slots: 1_001 }, 'slots'],
    ['negative prefetch', { prefetch: -1 }, 'prefetch'],
    ['1,001 prefetch', { prefetch: 1_001 }, 'prefetch'],
    ['more running than slots', { running: times(3, (n) => ({ attempt: ref(n) })) }, 'running'],
    ['4,097 unsent reports', { unsentReports: times(4_097, ref) }, 'unsent_reports'],
    ['no task types', { taskTypes: [] }, 'task_types'],
    ['257 types', { taskTypes: times(257, (index) => ({ type: `t${index}` })) }, 'task_types'],
    ['an empty type', { taskTypes: [{ type: '' }] }, 'task_types[0].type'],
    ['a long type', { taskTypes: [{ type: 't'.repeat(128) }] }, 'task_types[0].type'],
    ['a type with an @', { taskTypes: [{ type: 'a@b' }] }, 'task_types[0].type'],
    ['a type that comes twice', { taskTypes: [{ type: 'a' }, { type: 'a' }] }, 'task_types[1].type'],
    ['a type with more slots than there are', { taskTypes: [{ type: 'a', slots: 3 }] }, 'task_types[0].slots'],
    ['a type with negative slots', { taskTypes: [{ type: 'a', slots: -1 }] }, 'task_types[0].slots'],
    ['65 labels', { labels: labels(65) }, 'labels'],
    ['an empty label key', { labels: { '': 'v' } }, 'labels (key)'],
    ['a long label key', { labels: { ['k'.repeat(64)]: 'v' } }, 'labels (key)'],
    ['a label key that plain objects lose', { labels: { ['__proto__']: 'v' } }, 'labels (key)'],
    ['a long label value', { labels: { k: 'v'.repeat(64) } }, 'labels["k"]'],
    ['a running attempt without a fence', { running: [{}] }, 'running[0].attempt.task_id'],
    ['an attempt 0', { running: [{ attempt: { ...ref(1), attempt: 0 } }] }, 'running[0].attempt.attempt'],
    ['a lease that is none', { unsentReports: [{ ...ref(1), leaseId: 'F'.repeat(16) }] }, 'unsent_reports[0].lease_id'],
  ])('refuses %s and names the field', (_what, changes, field) => {
    const error = refusal(() => parse(changes));
    expect(error).toMatchObject({ code: Code.INVALID_ARGUMENT, reason: 'INVALID_HELLO' });
    expect(error.violations[0]?.field).toBe(`hello.${field}`);
  });

  it('names one fault once', () => {
    expect(refusal(() => parse({ slots: -5 })).violations.map(({ field }) => field)).toEqual(['hello.slots']);
  });

  it('names every fault in one message, with its value', () => {
    const error = refusal(() => parse({ workerId: 'a b', slots: 0, prefetch: -1, taskTypes: [], labels: { '?': '' } }));
    for (const part of ['worker_id: is "a b"', 'slots: is 0', 'prefetch: is -1', 'task_types', '"?"']) {
      expect(error.message).toContain(part);
    }
    expect(error.violations).toHaveLength(5);
  });
});
