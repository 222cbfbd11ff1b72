import { describe, expect, it } from 'vitest';
import { LAST_WORDS_MS } from '../../../coordinator/core/fleet.js';
import type { Input, ProcessEnd } from '../../../coordinator/core/inputs.js';
import { CoreDriver, reportOf } from './support.js';

const HOWS: readonly ProcessEnd[] = ['died', 'killed'];

function ended(how: ProcessEnd, incarnation = 'w#1'): Input {
  return { kind: 'processEnded', incarnation, how };
}

/** Worker w with one attempt of task t, started. */
function running(options: Parameters<CoreDriver['submit']>[1] = {}): { core: CoreDriver; session: number } {
  const core = new CoreDriver();
  const session = core.hello('w');
  core.submit('t', options);
  core.start(session, core.ref('t'));
  return { core, session };
}

describe('a process that is known to have ended', () => {
  it.each(HOWS)('loses what it holds at once when its stream ends (%s)', (how) => {
    const { core, session } = running();
    core.draws.push(0);
    const other = core.hello('v');
    core.step(ended(how));
    expect(core.row('t')).toMatchObject({ state: 'RUNNING', workerId: 'w' });
    expect(core.worker('w')).toMatchObject({ state: 'DISCONNECTED', slotsUsed: 1 });
    core.step({ kind: 'sessionEnded', sessionId: session });
    expect(core.row('t')).toMatchObject({ state: 'RUNNING', workerId: 'v', attempt: 2 });
    expect(core.assigned(other)).toEqual(['t']);
    expect(core.state.incarnations.has('w#1')).toBe(false);
  });

  it.each(HOWS)('loses what it holds at once when its stream had ended before (%s)', (how) => {
    const { core, session } = running();
    core.draws.push(0);
    core.hello('v');
    core.step({ kind: 'sessionEnded', sessionId: session });
    core.step(ended(how));
    expect(core.row('t')).toMatchObject({ state: 'RUNNING', workerId: 'v', attempt: 2 });
  });

  it.each(HOWS)('whose stream does not end is waited for no longer than for its last words (%s)', (how) => {
    const { core, session } = running();
    core.hello('v', { taskTypes: { other: 1 } });
    core.step(ended(how));
    // A frame renews the lease of a process, and this one has none any more.
    core.advance(LAST_WORDS_MS - 1, core.frameInput(session));
    expect(core.row('t').state).toBe('RUNNING');
    core.advance(1, core.frameInput(session));
    expect(core.row('t').state).toBe(how === 'died' ? 'SCHEDULED' : 'QUEUED');
    expect(core.sent(session, 'end')).toMatchObject([{ reason: 'SUPERSEDED' }]);
    expect(core.events('zombie-detected')).toEqual([]);
  });

  it('is charged with a crash of what it had started, if it died', () => {
    const { core, session } = running();
    core.step(ended('died'), { kind: 'sessionEnded', sessionId: session });
    expect(core.row('t')).toMatchObject({ crashCount: 1, releaseCount: 0, failureCount: 0 });
    expect(core.events('attempt-ended')).toMatchObject([{ outcome: 'WORKER_LOST', reason: 'WORKER_DIED' }]);
    expect(core.events('worker-lost')).toMatchObject([{ incarnation: 'w#1', attempts: 1 }]);
    expect(core.state.totals.workersLost).toBe(1);
  });

  it('costs a task nothing if it died before it had started it', () => {
    const core = new CoreDriver();
    const session = core.hello('w');
    core.submit('t');
    core.step(ended('died'), { kind: 'sessionEnded', sessionId: session });
    expect(core.row('t')).toMatchObject({ state: 'QUEUED', crashCount: 0, releaseCount: 1 });
  });

  it('costs its tasks nothing if its supervisor ended it, and has left rather than been lost', () => {
    const { core, session } = running();
    core.step(ended('killed'), { kind: 'sessionEnded', sessionId: session });
    expect(core.row('t')).toMatchObject({ state: 'QUEUED', crashCount: 0, failureCount: 0, releaseCount: 1 });
    expect(core.events('attempt-ended')).toMatchObject([{ outcome: 'RELEASED', charge: 'FREE' }]);
    expect(core.events('worker-left')).toMatchObject([{ incarnation: 'w#1', attempts: 1 }]);
    expect([core.events('worker-lost'), core.state.totals.workersLost]).toEqual([[], 0]);
  });

  it.each(HOWS)('leaves a dead letter where at most one start was asked for (%s)', (how) => {
    const { core, session } = running({ retry: { maxAttempts: 1 } });
    core.step(ended(how), { kind: 'sessionEnded', sessionId: session });
    expect(core.row('t')).toMatchObject({ state: 'DEAD_LETTERED', failure: { reason: 'MAYBE_STARTED' } });
  });

  it.each(HOWS)('is believed in what it had reported before (%s), in the same step too', (how) => {
    const { core, session } = running();
    core.step(core.frameInput(session, { reports: [reportOf(core.ref('t'))] }), ended(how));
    expect(core.row('t')).toMatchObject({ state: 'SUCCEEDED', crashCount: 0, releaseCount: 0 });
  });

  it.each(HOWS)('is believed in what it had reported, although the news of its end was faster (%s)', (how) => {
    const { core, session } = running();
    const ref = core.ref('t');
    core.step(ended(how));
    expect(core.report(session, ref)).toBe('');
    core.step({ kind: 'sessionEnded', sessionId: session });
    expect(core.row('t')).toMatchObject({ state: 'SUCCEEDED', attempt: 1 });
  });

  it.each(HOWS)('gets nothing new (%s)', (how) => {
    const core = new CoreDriver();
    const session = core.hello('w', { slots: 2 });
    core.submit('t');
    core.step(ended(how));
    core.submit('u');
    expect([core.row('u').state, core.assigned(session)]).toEqual(['QUEUED', ['t']]);
    expect(core.waiting('u')).toMatchObject({ reason: 'NO_READY_WORKER' });
  });

  it.each(HOWS)('idle, is forgotten at once (%s)', (how) => {
    const core = new CoreDriver();
    const session = core.hello('w');
    core.step(ended(how));
    expect([core.state.incarnations.size, core.state.workersById.size]).toEqual([0, 0]);
    expect(core.sent(session, 'end')).toMatchObject([{ reason: 'SUPERSEDED' }]);
  });

  it('after it had finished all before it left, has left', () => {
    const core = new CoreDriver();
    const session = core.hello('w');
    core.frame(session, { leaving: { drainTimeoutMs: 1_000 } });
    core.step(ended('died'), { kind: 'sessionEnded', sessionId: session });
    expect(core.events('worker-left')).toHaveLength(1);
    expect([core.events('worker-lost'), core.state.totals.workersLost]).toEqual([[], 0]);
  });

  it('makes room for its successor, which need not name it', () => {
    const { core } = running();
    core.draws.push(0);
    core.step(ended('died'));
    const successor = core.hello('w', { incarnation: 'w#2' });
    expect(core.assigned(successor)).toEqual(['t']);
    expect(core.row('t')).toMatchObject({ attempt: 2, crashCount: 1 });
  });

  it('and had lost its worker_id before, gives back what it held', () => {
    const { core } = running();
    core.draws.push(0);
    const winner = core.hello('w', { incarnation: 'w#2' });
    expect(core.row('t').incarnation).toBe('w#1');
    core.step(ended('died'));
    expect(core.assigned(winner)).toEqual(['t']);
  });

  it('and had not come back since a restart of the coordinator, gives back what it held, free', () => {
    const { core } = running();
    core.restart();
    core.hello('v');
    core.step(ended('died'));
    expect(core.row('t')).toMatchObject({ state: 'RUNNING', workerId: 'v', crashCount: 0, releaseCount: 1 });
  });

  it('may not come back: its hello was on its way when the news of its end overtook it', () => {
    const core = new CoreDriver();
    core.step(ended('died'));
    const session = core.hello('w');
    core.submit('t');
    expect(core.sent(session, 'end')).toMatchObject([{ reason: 'SUPERSEDED' }]);
    expect(core.row('t').state).toBe('QUEUED');
  });

  it('is not charged twice when it is named again', () => {
    const { core, session } = running();
    core.step(ended('killed'), ended('died'), { kind: 'sessionEnded', sessionId: session }, ended('died'));
    expect(core.row('t')).toMatchObject({ crashCount: 0, releaseCount: 1 });
  });
});
