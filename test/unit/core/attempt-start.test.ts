import { describe, expect, it } from 'vitest';
import { CoreDriver, reportOf } from './support.js';

describe('the start of an attempt', () => {
  it('is told once, with the time since it was handed out', () => {
    const core = new CoreDriver();
    const session = core.hello('w');
    core.submit('t');
    core.advance(7);
    core.start(session, core.ref('t'));
    core.start(session, core.ref('t'));
    core.report(session, core.ref('t'));
    expect(core.events('attempt-started')).toEqual([
      { name: 'attempt-started', taskId: 't', type: 'work', attempt: 1, workerId: 'w', startMs: 7, reused: false },
    ]);
  });

  it('counts to the arrival of the news, not to its step', () => {
    const core = new CoreDriver();
    const session = core.hello('w');
    core.submit('t');
    core.advance(7);
    const frame = core.frameInput(session, { started: [core.ref('t')] });
    core.advance(100, frame);
    expect(core.events('attempt-started')).toMatchObject([{ startMs: 7 }]);
  });

  it('is told by a report that comes without it, before the end, and without the time that it ran', () => {
    const core = new CoreDriver();
    const session = core.hello('w');
    core.submit('t');
    core.advance(1_005);
    core.frame(session, { reports: [{ ...reportOf(core.ref('t')), runMs: 1_000 }] });
    expect(core.events('attempt-started')).toMatchObject([{ startMs: 5 }]);
    const names = core.outputs.flatMap((output) => (output.kind === 'event' ? [output.event.name] : []));
    expect(names.slice(-3)).toEqual(['attempt-started', 'attempt-ended', 'task-ended']);
  });

  it('is never before it was handed out, whatever a worker says of its run time', () => {
    const core = new CoreDriver();
    const session = core.hello('w');
    core.submit('t');
    core.frame(session, { reports: [{ ...reportOf(core.ref('t')), runMs: 1_000 }] });
    expect(core.events('attempt-started')).toMatchObject([{ startMs: 0 }]);
  });

  it('says whether its process had started one before', () => {
    const core = new CoreDriver();
    const session = core.hello('w');
    for (const taskId of ['t', 'u']) {
      core.submit(taskId);
      core.report(session, core.ref(taskId));
    }
    const next = core.hello('w', { incarnation: 'w#2' });
    core.submit('v');
    core.start(next, core.ref('v'));
    expect(core.events('attempt-started')).toMatchObject([{ reused: false }, { reused: true }, { reused: false }]);
  });

  it('was not measured if an earlier coordinator handed it out', () => {
    const core = new CoreDriver();
    core.hello('w');
    core.submit('t');
    const ref = core.ref('t');
    core.restart();
    const session = core.hello('w', { sessionNumber: 2, running: [{ ref, started: false }] });
    core.start(session, ref);
    expect(core.events('attempt-started')).toMatchObject([{ startMs: null }]);
  });
});

describe('the total of retries', () => {
  it("counts attempts after their task's first, whatever had ended the one before", () => {
    const core = new CoreDriver();
    const session = core.hello('w', { slots: 2 });
    core.submit('t');
    core.submit('u');
    expect(core.state.totals.attemptsRetried).toBe(0);
    core.draws.push(0);
    core.report(session, core.ref('t'), 'FAILED');
    core.frame(session, { notStarted: [core.ref('u')] });
    expect(core.state.totals).toMatchObject({ assigned: 4, attemptsRetried: 2 });
  });
});
