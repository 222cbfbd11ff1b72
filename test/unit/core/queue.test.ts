import { describe, expect, it } from 'vitest';
import { CoreDriver } from './support.js';

const HOUR_MS = 3_600_000;

/** Lets one worker with one slot work the queue off; the order in which tasks were handed out. */
function order(core: CoreDriver, options: Parameters<CoreDriver['hello']>[1] = {}): string[] {
  const session = core.hello('w', options);
  for (let taskId = core.assigned().at(-1); taskId !== undefined;) {
    const before = core.assigned().length;
    core.report(session, core.ref(taskId));
    taskId = core.assigned()[before];
  }
  return core.assigned();
}

describe('who is next', () => {
  it('goes by arrival within a priority', () => {
    const core = new CoreDriver();
    for (const id of ['a', 'b', 'c', 'd', 'e']) core.submit(id);
    expect(order(core)).toEqual(['a', 'b', 'c', 'd', 'e']);
  });

  it('prefers larger priorities', () => {
    const core = new CoreDriver();
    core.submit('low', { priority: 0 });
    core.submit('mid', { priority: 10 });
    core.submit('high', { priority: 100 });
    expect(order(core)).toEqual(['high', 'mid', 'low']);
  });

  it('gives a point of priority a head start of 10 s and no more, so that nothing starves', () => {
    const core = new CoreDriver();
    core.submit('old', { priority: 10 });
    core.advance(9_999);
    core.submit('ahead', { priority: 11 });
    core.advance(2);
    core.submit('behind', { priority: 11 });
    expect(order(core)).toEqual(['ahead', 'old', 'behind']);
  });

  it('goes by arrival between equal head starts', () => {
    const core = new CoreDriver();
    core.submit('first', { priority: 10 });
    core.advance(10_000);
    core.submit('second', { priority: 11 });
    expect(order(core)).toEqual(['first', 'second']);
  });

  it('compares across types that one worker handles', () => {
    const core = new CoreDriver();
    core.submit('a', { type: 'x' });
    core.submit('b', { type: 'y', priority: 20 });
    core.submit('c', { type: 'x', priority: 30 });
    expect(order(core, { taskTypes: { x: 1, y: 1 } })).toEqual(['c', 'b', 'a']);
  });

  it('reorders nothing when the wall clock is set back', () => {
    const core = new CoreDriver();
    core.submit('a');
    core.wallMs -= HOUR_MS;
    core.submit('b');
    core.submit('c', { priority: 9 });
    expect(core.row('b').readyWallMs).toBe(core.row('a').readyWallMs);
    expect(order(core)).toEqual(['a', 'b', 'c']);
  });

  it('does not let a class that nobody serves hold up another', () => {
    const core = new CoreDriver();
    core.submit('nobody', { type: 'other', priority: 100 });
    core.submit('a');
    expect(order(core)).toEqual(['a']);
    expect(core.waiting('nobody')?.reason).toBe('NO_WORKER_FOR_TYPE');
  });

  it('keeps order, tags and ready times over a restart', () => {
    const core = new CoreDriver();
    for (const id of ['a', 'b', 'c']) core.submit(id);
    core.submit('first', { priority: 11 });
    core.restart();
    core.submit('d');
    expect(core.row('d').tag).toBeGreaterThan(core.row('c').tag);
    expect(order(core)).toEqual(['first', 'a', 'b', 'c', 'd']);
  });

  it('waits for run_time on the wall clock, then takes its place behind those that are ready', () => {
    const core = new CoreDriver();
    core.submit('later', { runTimeWallMs: core.wallMs + 1_000 });
    core.submit('a');
    expect(core.row('later')).toMatchObject({ state: 'SCHEDULED', dueWallMs: core.wallMs + 1_000 });
    expect(core.waiting('later')?.reason).toBe('RUN_TIME');
    expect(core.untilNextMs()).toBe(1_000);
    core.advance(999);
    expect(core.row('later').state).toBe('SCHEDULED');
    core.submit('b');
    core.advance(1);
    expect(core.row('later').state).toBe('QUEUED');
    expect(order(core)).toEqual(['a', 'b', 'later']);
  });

  it('runs a task whose run_time has passed at once', () => {
    const core = new CoreDriver();
    core.submit('a', { runTimeWallMs: core.wallMs });
    expect(core.row('a').state).toBe('QUEUED');
  });

  it('keeps a run_time over a restart', () => {
    const core = new CoreDriver();
    core.submit('a', { runTimeWallMs: core.wallMs + 5_000 });
    core.restart();
    core.advance(4_999);
    expect(core.row('a').state).toBe('SCHEDULED');
    core.advance(1);
    expect(core.row('a').state).toBe('QUEUED');
  });
});
