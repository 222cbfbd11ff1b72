import { describe, expect, it } from 'vitest';
import { CoreDriver, reportOf } from './support.js';

describe('admission', () => {
  it('accepts a task that no worker handles, and the answer says so', () => {
    const core = new CoreDriver();
    expect(core.submit('a')).toEqual({
      kind: 'submitted',
      taskId: 'a',
      state: 'QUEUED',
      alreadyExisted: false,
      capableWorkers: 0,
      notice: expect.stringContaining('no worker handles type "work"') as string,
    });
  });

  it('hands a task to a free worker in the step of its submit: one insert, already RUNNING, body at hand', () => {
    const core = new CoreDriver();
    core.hello('w');
    expect(core.submit('a')).toMatchObject({ state: 'RUNNING', capableWorkers: 1, notice: '' });
    expect(core.lastResult?.writes).toMatchObject([
      { kind: 'insert', row: { state: 'RUNNING', attempt: 1, revision: 1 } },
    ]);
    expect(core.assignment('a').body).not.toBeNull();
  });

  it('asks for the body of a task that was submitted earlier', () => {
    const core = new CoreDriver();
    core.submit('a');
    core.hello('w');
    expect(core.lastResult?.writes).toMatchObject([{ kind: 'update', wantBody: true }]);
    expect(core.assignment('a').body).toBeNull();
  });

  it('answers a repeat of the same submit with the same task', () => {
    const core = new CoreDriver();
    core.submit('a');
    expect(core.submit('a')).toMatchObject({ kind: 'submitted', state: 'QUEUED', alreadyExisted: true });
    expect(core.state.tasks.size).toBe(1);
  });

  it('refuses another task under a known id, also after its end', () => {
    const core = new CoreDriver();
    const session = core.hello('w');
    core.submit('a');
    expect(core.submit('a', { digest: 'other' })).toEqual({ kind: 'idTaken', taskId: 'a' });
    core.report(session, core.ref('a'));
    expect(core.submit('a', { digest: 'other' })).toEqual({ kind: 'idTaken', taskId: 'a' });
  });

  it('answers a repeat after the end with the end state, and its waiter too', () => {
    const core = new CoreDriver();
    const session = core.hello('w');
    core.submit('a');
    core.report(session, core.ref('a'));
    const input = core.submitInput('a', { want: 'task' });
    const replies = core.step(input).filter(({ kind }) => kind === 'reply');
    expect(replies).toMatchObject([
      { reply: { kind: 'submitted', state: 'SUCCEEDED', alreadyExisted: true } },
      { reply: { kind: 'task', taskId: 'a' } },
    ]);
    expect(core.lastResult?.writes).toEqual([]);
  });

  it('knows a task that has ended earlier in the same step', () => {
    const core = new CoreDriver();
    const session = core.hello('w');
    core.submit('a');
    const again = core.submitInput('a', { want: 'task' });
    const cancel = core.cancelInput('a');
    const report = reportOf(core.ref('a'));
    const outputs = core.step(core.frameInput(session, { reports: [report, report] }), again, cancel);
    expect(core.replyTo(again.token, outputs)).toMatchObject({ state: 'SUCCEEDED', alreadyExisted: true });
    expect(core.replyTo(cancel.token, outputs)).toMatchObject({ kind: 'cancelled', state: 'SUCCEEDED' });
    expect(core.sent(session, 'reportAck')).toMatchObject([{ accepted: true }, { accepted: true }]);
  });

  it('knows a task that was submitted and cancelled earlier in the same step', () => {
    const core = new CoreDriver();
    const again = core.submitInput('a');
    core.step(core.submitInput('a'), core.cancelInput('a'), again);
    expect(core.replyTo(again.token)).toMatchObject({ state: 'CANCELLED', alreadyExisted: true });
    expect(core.row('a').state).toBe('CANCELLED');
  });

  it('refuses submits at maxOpenTasks, and repeats of known ones not', () => {
    const core = new CoreDriver({ maxOpenTasks: 2 });
    core.submit('a');
    core.submit('b');
    expect(core.submit('c')).toEqual({ kind: 'queueFull', taskId: 'c', limit: 2 });
    expect(core.submit('b')).toMatchObject({ kind: 'submitted', alreadyExisted: true });
    core.cancel('a');
    expect(core.submit('c')).toMatchObject({ kind: 'submitted' });
  });

  it('tells everybody who waits when the task has ended, and nobody twice', () => {
    const core = new CoreDriver();
    const session = core.hello('w');
    const first = core.submitInput('a', { want: 'task' });
    const second = core.submitInput('a', { want: 'task' });
    const gone = core.submitInput('a', { want: 'task' });
    core.step(first, second, gone);
    core.step({ kind: 'abandon', token: gone.token, taskIds: ['a'], cancel: false });
    core.outputs = [];
    core.report(session, core.ref('a'));
    const told = core.outputs.filter(({ kind }) => kind === 'reply');
    expect(told).toMatchObject([{ token: first.token }, { token: second.token }]);
  });

  it('cancels the task of a caller that has gone, if it wants so', () => {
    const core = new CoreDriver();
    const input = core.submitInput('a', { want: 'task' });
    core.step(input);
    core.step({ kind: 'abandon', token: input.token, taskIds: ['a'], cancel: true });
    expect(core.row('a').state).toBe('CANCELLED');
  });

  it('cancels nothing for a caller that does not wait for the task: his id was taken by another', () => {
    const core = new CoreDriver();
    core.submit('a', { digest: 'mine' });
    const stranger = core.submitInput('a', { digest: 'other', want: 'task' });
    core.step(stranger);
    expect(core.replyTo(stranger.token)).toMatchObject({ kind: 'idTaken' });
    core.step({ kind: 'abandon', token: stranger.token, taskIds: ['a'], cancel: true });
    expect(core.row('a').state).toBe('QUEUED');
  });

  it('cancels nothing while another caller waits: one that was cut may have called again before that was noticed', () => {
    const core = new CoreDriver();
    const cut = core.submitInput('a', { want: 'task' });
    const again = core.submitInput('a', { want: 'task' });
    core.step(cut, again);
    core.step({ kind: 'abandon', token: cut.token, taskIds: ['a'], cancel: true });
    expect(core.row('a').state).toBe('QUEUED');
    core.step({ kind: 'abandon', token: again.token, taskIds: ['a'], cancel: true });
    expect(core.row('a').state).toBe('CANCELLED');
  });

  it('refuses what the store has no room for, and counts what the step has taken already', () => {
    const core = new CoreDriver();
    core.storeRoomBytes = 3_000;
    const inputs = ['a', 'b', 'c'].map((id) => core.submitInput(id, { payloadBytes: 400 }));
    core.step(...inputs);
    expect(inputs.map(({ token }) => core.replyTo(token).kind)).toEqual(['submitted', 'submitted', 'storeFull']);
  });

  it('says more at the bound of a step, and hands out the rest in the next', () => {
    const core = new CoreDriver({ maxAssignmentsPerStep: 2 });
    core.hello('w', { slots: 5 });
    core.step(...['a', 'b', 'c'].map((id) => core.submitInput(id)));
    expect([core.assigned(), core.lastResult?.more]).toEqual([['a', 'b'], true]);
    core.step();
    expect([core.assigned(), core.lastResult?.more]).toEqual([['a', 'b', 'c'], false]);
  });

  it('ends a step with the task that passes the bound of payload bytes', () => {
    const core = new CoreDriver({ maxAssignedBytesPerStep: 100 });
    core.hello('w', { slots: 5 });
    core.step(...['a', 'b', 'c'].map((id) => core.submitInput(id, { payloadBytes: 60 })));
    expect([core.assigned(), core.lastResult?.more]).toEqual([['a', 'b'], true]);
  });

  it("fires at most a step's worth of timers, and says more", () => {
    const core = new CoreDriver({ maxAssignmentsPerStep: 2 });
    core.step(...['a', 'b', 'c'].map((id) => core.submitInput(id, { deadlineWallMs: core.wallMs + 100 })));
    core.advance(100);
    expect(core.lastResult?.more).toBe(true);
    core.step();
    expect(['a', 'b', 'c'].map((id) => core.row(id).state)).toEqual(['EXPIRED', 'EXPIRED', 'EXPIRED']);
    expect(core.lastResult?.more).toBe(false);
  });
});
