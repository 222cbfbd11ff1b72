import { describe, expect, it } from 'vitest';
import type { Reply } from '../../../coordinator/core/outputs.js';
import { CoreDriver } from './support.js';

function repliesTo(core: CoreDriver, token: number): Reply[] {
  return core.outputs.flatMap((output) => (output.kind === 'reply' && output.token === token ? [output.reply] : []));
}

describe('a caller that awaits the end of a task', () => {
  it('is told the row as it was written, and the result', () => {
    const core = new CoreDriver();
    const session = core.hello('w');
    const input = core.submitInput('t', { want: 'end' });
    core.step(input);
    core.report(session, core.ref('t'));
    expect(repliesTo(core, input.token)).toEqual([
      expect.objectContaining({ kind: 'submitted' }),
      {
        kind: 'ended',
        taskId: 't',
        row: core.row('t'),
        result: expect.objectContaining({ contentType: 'application/json' }),
      },
    ]);
  });

  it('is told once, however often it asks', () => {
    const core = new CoreDriver();
    core.submit('t');
    core.step({ kind: 'await', token: 900, taskId: 't', want: 'end' });
    core.step({ kind: 'await', token: 900, taskId: 't', want: 'end' });
    core.cancel('t');
    expect(repliesTo(core, 900)).toMatchObject([{ kind: 'ended', row: { state: 'CANCELLED' } }]);
  });

  it('has the task read from the store if it has ended before, also earlier in the same step', () => {
    const core = new CoreDriver();
    core.submit('t');
    core.cancel('t');
    core.step({ kind: 'await', token: 900, taskId: 't', want: 'end' });
    expect(repliesTo(core, 900)).toEqual([{ kind: 'task', taskId: 't', waiting: null, progress: null }]);
    core.submit('u');
    core.step(core.cancelInput('u'), { kind: 'await', token: 901, taskId: 'u', want: 'end' });
    expect(repliesTo(core, 901)).toMatchObject([{ kind: 'task', taskId: 'u' }]);
  });

  it('is told when there is no such task', () => {
    const core = new CoreDriver();
    core.step({ kind: 'await', token: 900, taskId: 't', want: 'end' });
    expect(repliesTo(core, 900)).toEqual([{ kind: 'taskNotFound', taskId: 't' }]);
  });

  it('hears nothing more once it has gone, and its tasks go on', () => {
    const core = new CoreDriver();
    core.submit('t');
    core.submit('u');
    for (const taskId of ['t', 'u']) core.step({ kind: 'await', token: 900, taskId, want: 'end' });
    core.step({ kind: 'abandon', token: 900, taskIds: ['t', 'u', 'unknown'], cancel: false });
    core.cancel('t');
    expect(repliesTo(core, 900)).toEqual([]);
    expect(core.row('u').state).toBe('QUEUED');
  });

  it('gets the answers to its submits in their order, refused ones too', () => {
    const core = new CoreDriver({ maxOpenTasks: 2 });
    core.submit('known');
    const inputs = [
      core.submitInput('a'),
      core.submitInput('known', { digest: 'other' }),
      core.submitInput('b'),
      core.submitInput('c', { deadlineWallMs: 1 }),
    ].map((input) => ({ ...input, token: 900 }));
    core.step(...inputs);
    expect(repliesTo(core, 900)).toMatchObject([
      { kind: 'submitted', taskId: 'a' },
      { kind: 'idTaken', taskId: 'known' },
      { kind: 'queueFull', taskId: 'b' },
      { kind: 'deadlinePassed', taskId: 'c' },
    ]);
  });
});

describe('a watcher', () => {
  function watched(): { core: CoreDriver; session: number } {
    const core = new CoreDriver();
    core.submit('t');
    core.step({ kind: 'await', token: 900, taskId: 't', want: 'change' });
    core.outputs = [];
    return { core, session: core.hello('w') };
  }

  it('is woken once by each step that changes the task, to its end', () => {
    const { core, session } = watched();
    expect(repliesTo(core, 900)).toEqual([{ kind: 'changed', taskId: 't' }]);
    core.outputs = [];
    const ref = core.ref('t');
    core.frame(session, {
      progress: [{ ref, number: 1, data: { contentType: 'text/plain', data: new Uint8Array() } }],
    });
    expect(repliesTo(core, 900)).toHaveLength(1);
    core.outputs = [];
    core.report(session, ref);
    expect(repliesTo(core, 900)).toEqual([{ kind: 'changed', taskId: 't' }]);
  });

  it('is not woken by what changes nothing', () => {
    const { core, session } = watched();
    const ref = core.ref('t');
    const progress = { ref, number: 1, data: { contentType: 'text/plain', data: new Uint8Array() } };
    core.frame(session, { progress: [progress] });
    core.outputs = [];
    core.frame(session, { progress: [progress] });
    core.frame(session);
    expect(repliesTo(core, 900)).toEqual([]);
  });

  it('is woken at once for a task that has ended', () => {
    const { core, session } = watched();
    core.report(session, core.ref('t'));
    core.step({ kind: 'await', token: 901, taskId: 't', want: 'change' });
    expect(repliesTo(core, 901)).toEqual([{ kind: 'changed', taskId: 't' }]);
  });

  it('keeps no task alive that its caller abandons', () => {
    const core = new CoreDriver();
    const input = core.submitInput('t', { want: 'task' });
    core.step(input, { kind: 'await', token: 900, taskId: 't', want: 'change' });
    core.step({ kind: 'abandon', token: input.token, taskIds: ['t'], cancel: true });
    expect(core.row('t').state).toBe('CANCELLED');
  });
});

describe('what only the core knows of listed tasks', () => {
  it('is told for those that have not ended', () => {
    const core = new CoreDriver();
    core.submit('t');
    core.submit('u');
    core.cancel('u');
    const reply = core.ask((token) => ({ kind: 'explain', token, taskIds: ['t', 'u', 'unknown'] }));
    if (reply.kind !== 'explained') throw new Error(reply.kind);
    expect([...reply.tasks.keys()]).toEqual(['t']);
    expect(reply.tasks.get('t')?.waiting?.reason).toBe('NO_WORKER_FOR_TYPE');
  });
});
