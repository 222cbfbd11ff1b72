import { Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { AttemptOutcome } from '../../../proto/gen/remuda/v1/task_pb.js';
import type { ChildCommand } from '../../../worker/supervised-child.js';
import { Supervisor, type SupervisorEvent, type SupervisorOptions } from '../../../worker/supervisor.js';
import { eventually, handlersFile, isAlive, onCleanup, PROGRAM, ScriptedCoordinator } from './support.js';

const HANDLERS = `
import { setTimeout as delay } from 'node:timers/promises';
export default { wait: async ({ ms }) => { await delay(ms); return 'done'; } };
`;

/** A child that runs this code, as a script of its own would. */
const script =
  (code: string, env: Readonly<Record<string, string>> = {}): SupervisorOptions['command'] =>
  (index) => ({
    command: process.execPath,
    args: ['--input-type=module', '--eval', code],
    env: { ...process.env, ...env, INDEX: String(index) },
  });

/** Says on the supervision socket that the coordinator has welcomed it. */
const READY = `import { writeSync } from 'node:fs';
writeSync(Number(process.env.REMUDA_SUPERVISOR_FD), '{"ready":true}\\n');
`;
const LIVE = 'setInterval(() => undefined, 1_000);';
/** Starts a process that would live for long, and says its pid. */
const FORK = `import { spawn } from 'node:child_process';
const child = spawn(process.execPath, ['--eval', ${JSON.stringify(LIVE)}], { stdio: 'ignore' });
child.unref();
console.log('forked ' + child.pid);
`;

type Ended = Extract<SupervisorEvent, { name: 'child-ended' }>;

/** A supervisor whose events and output are watched; its children end with the test. */
class Watched {
  readonly events: SupervisorEvent[] = [];
  readonly lines: { readonly index: number; readonly stream: 'stdout' | 'stderr'; readonly line: string }[] = [];
  readonly sinks: Writable[] = [];
  readonly supervisor: Supervisor;
  private readonly wakes = new Set<() => void>();

  constructor(
    command: (index: number) => ChildCommand,
    {
      onEvent,
      hold,
      journal = [],
      ...options
    }: Partial<SupervisorOptions> & {
      hold?: (index: number) => Promise<void> | undefined;
      journal?: readonly number[];
    } = {},
  ) {
    this.supervisor = new Supervisor({
      processes: 1,
      command,
      output: (index) => ({
        stdout: this.sink(index, 'stdout', hold?.(index)),
        stderr: this.sink(index, 'stderr'),
        journal,
      }),
      ...options,
      onEvent: (event) => {
        this.events.push(event);
        onEvent?.(event);
        this.changed();
      },
    });
    onCleanup(async () => {
      this.supervisor.killAll();
      await this.supervisor.done;
    });
    this.supervisor.start();
  }

  private changed(): void {
    for (const wake of [...this.wakes]) wake();
  }

  /** Takes the first line at once, and the others when `hold` is over. */
  private sink(index: number, stream: 'stdout' | 'stderr', hold?: Promise<void>): Writable {
    const sink = new Writable({
      decodeStrings: false,
      write: (line: string, _, callback) => {
        this.lines.push({ index, stream, line });
        this.changed();
        if (hold === undefined) callback();
        else void hold.then(() => callback());
      },
    });
    this.sinks.push(sink);
    return sink;
  }

  until<T>(what: string, look: () => T | undefined | false): Promise<T> {
    return eventually(what, look, (wake) => this.wakes.add(wake));
  }

  /** The nth event of this name, from 0. */
  event<Name extends SupervisorEvent['name']>(name: Name, nth = 0) {
    return this.until(
      `${name} ${nth}`,
      () => this.events.filter((event): event is Extract<SupervisorEvent, { name: Name }> => event.name === name)[nth],
    );
  }

  kinds(): Ended['kind'][] {
    return this.events.flatMap((event) => (event.name === 'child-ended' ? [event.kind] : []));
  }

  async line(start: string, nth = 0): Promise<string> {
    const found = await this.until(
      `line ${nth} that starts with ${start}`,
      () => this.lines.filter(({ line }) => line.startsWith(start))[nth],
    );
    return found.line.slice(start.length).trim();
  }
}

/** Real workers of a scripted coordinator, welcomed. */
async function workers(processes: number) {
  const coordinator = await ScriptedCoordinator.start();
  const file = handlersFile(HANDLERS);
  const watched = new Watched(
    (index) => ({
      command: process.execPath,
      args: [PROGRAM, file, '--address', coordinator.address, '--worker-id', `w/${index}`, '--log-level', 'warn'],
      env: process.env,
    }),
    { processes, ownGroup: true },
  );
  for (let index = 0; index < processes; index += 1) await coordinator.session(index);
  const session = (workerId: string) => coordinator.sessions.findLast(({ hello }) => hello.workerId === workerId)!;
  return { coordinator, watched, supervisor: watched.supervisor, session };
}

/** The process has ended; polled, since only its parent is told. */
async function gone(pid: number): Promise<void> {
  for (let look = 0; look < 1_000 && isAlive(pid); look += 1) await new Promise((resolve) => setTimeout(resolve, 10));
  expect(isAlive(pid)).toBe(false);
}

describe('a supervisor of workers', () => {
  it('should retire a child when what runs has ended, and give its index to the next one', async () => {
    const { coordinator, watched, supervisor, session } = await workers(2);
    const first = session('w/0');
    first.assign('t-1', 'wait', { payload: { ms: 300 } });
    await first.started('t-1');
    expect(supervisor.retire(0, 60_000)).toBe(true);
    expect(supervisor.places().map(({ index, leaving }) => ({ index, leaving }))).toEqual([
      { index: 0, leaving: true },
      { index: 1, leaving: false },
    ]);
    // The index is not free before the process has been reaped.
    expect(supervisor.add()).toBe(2);
    expect((await first.report('t-1')).outcome).toBe(AttemptOutcome.SUCCEEDED);
    expect(await watched.event('child-ended')).toMatchObject({
      index: 0,
      incarnation: first.hello.incarnation,
      kind: 'retired',
      restartInMs: undefined,
      end: { pid: first.hello.pid, code: 0, killed: false },
    });
    expect(await watched.event('place-freed')).toEqual({ name: 'place-freed', index: 0 });
    expect(supervisor.retire(0, 0)).toBe(false);
    expect(supervisor.add()).toBe(0);
    await coordinator.session(3);
    expect(session('w/0').hello).toMatchObject({ replaces: [], sessionNumber: 1 });
    expect(session('w/0').hello.incarnation).not.toBe(first.hello.incarnation);
    expect(session('w/1').ended).toBe(false);
  });

  it('should replace a child when what runs has ended, as no failure, and name it to its successor', async () => {
    const { coordinator, watched, supervisor, session } = await workers(1);
    const first = session('w/0');
    first.assign('t-1', 'wait', { payload: { ms: 300 } });
    await first.started('t-1');
    expect(supervisor.replace(0, 60_000)).toBe(true);
    expect(supervisor.replace(0, 60_000)).toBe(false);
    expect((await first.report('t-1')).outcome).toBe(AttemptOutcome.SUCCEEDED);
    const second = (await coordinator.session(1)).hello;
    expect(second).toMatchObject({ workerId: 'w/0', replaces: [first.hello.incarnation] });
    expect(await watched.event('child-ended')).toMatchObject({ kind: 'replaced', restartInMs: 0, end: { code: 0 } });
    expect(await watched.event('child-started', 1)).toMatchObject({
      index: 0,
      pid: second.pid,
      incarnation: second.incarnation,
      restarts: 1,
    });
    expect(await watched.event('child-ready', 1)).toMatchObject({ index: 0, incarnation: second.incarnation });
    expect(supervisor.places()).toEqual([
      {
        index: 0,
        pid: second.pid,
        incarnation: second.incarnation,
        startedMs: expect.any(Number),
        leaving: false,
        restarts: 1,
      },
    ]);
  });

  it('should kill a child on request, which is a failure, and tell it from one that others killed', async () => {
    const { coordinator, watched, supervisor, session } = await workers(1);
    const first = session('w/0').hello;
    // It would be replaced once the task has ended; a process that stands still cannot wait for that.
    session('w/0').assign('t-1', 'wait', { payload: { ms: 60_000 } });
    await session('w/0').started('t-1');
    process.kill(first.pid, 'SIGSTOP');
    supervisor.replace(0, 60_000);
    expect(supervisor.kill(0)).toBe(true);
    expect(await watched.event('child-ended')).toMatchObject({
      kind: 'failed',
      restartInMs: 0,
      end: { signal: 'SIGKILL', killed: true },
    });
    expect(supervisor.kill(0)).toBe(false);
    const second = (await coordinator.session(1)).hello;
    expect(second.replaces).toEqual([first.incarnation]);
    process.kill(second.pid, 'SIGKILL');
    expect(await watched.event('child-ended', 1)).toMatchObject({ end: { signal: 'SIGKILL', killed: false } });
  });
});

describe('a place', () => {
  it('should be given up at the failure after so many restarts, and be free for a fresh start', async () => {
    const watched = new Watched(script('process.exit(1)'), {
      restartLimit: { attempts: 2, windowMs: 3_600_000 },
      periods: { restartInitialMs: 2 },
    });
    expect(await watched.event('place-freed')).toMatchObject({ index: 0 });
    expect(watched.kinds()).toEqual(['failed', 'failed', 'given-up']);
    expect(await watched.event('child-ended', 2)).toMatchObject({ restarts: 2, restartInMs: undefined });
    expect(watched.supervisor.add()).toBe(0);
    await watched.event('place-freed', 1);
    expect(watched.kinds().slice(3)).toEqual(['failed', 'failed', 'given-up']);
    expect(await watched.event('child-started', 3)).toMatchObject({ restarts: 0 });
  });

  it('should not be given up when the failures are further apart', async () => {
    const watched = new Watched(script('process.exit(1)'), {
      // No process starts and ends within a millisecond.
      restartLimit: { attempts: 1, windowMs: 1 },
      periods: { restartInitialMs: 2, restartMaxMs: 2 },
    });
    await watched.event('child-started', 4);
    expect(new Set(watched.kinds())).toEqual(new Set(['failed']));
  });

  it('should not be filled again without autoRestart, whatever the end was', async () => {
    const watched = new Watched(
      (index) =>
        script(
          index === 0
            ? 'process.exit(1)'
            : `import { writeSync } from 'node:fs';
               writeSync(Number(process.env.REMUDA_SUPERVISOR_FD), '{"ending":{"code":-1,"message":"stuck"}}\\n');
               process.kill(process.pid, 'SIGKILL');`,
        )(index),
      { processes: 2, autoRestart: false },
    );
    await watched.event('place-freed', 1);
    expect(watched.kinds().sort()).toEqual(['given-up', 'recycled']);
    expect(watched.supervisor.places()).toEqual([]);
  });

  it.each([2, 78])(
    'should not be filled again after status %i, although its process was to be replaced',
    async (code) => {
      const watched = new Watched(
        script(`import { Socket } from 'node:net';
        new Socket({ fd: Number(process.env.REMUDA_SUPERVISOR_FD) }).on('data', () => process.exit(${code}));`),
      );
      watched.supervisor.replace(0, 60_000);
      expect(await watched.event('child-ended')).toMatchObject({
        kind: 'final',
        restartInMs: undefined,
        end: { code },
      });
      await watched.event('place-freed');
    },
  );

  it('should be freed at once when it is retired while it waits for a restart', async () => {
    const watched = new Watched(script('process.exit(1)'), {
      periods: { restartInitialMs: 3_600_000, restartMaxMs: 3_600_000 },
    });
    await watched.event('child-ended', 1);
    expect(watched.supervisor.places()).toMatchObject([{ index: 0, pid: undefined, restarts: 1 }]);
    expect(watched.supervisor.replace(0, 0)).toBe(false);
    expect(watched.supervisor.retire(0, 3_600_000)).toBe(true);
    expect(watched.events.at(-1)).toEqual({ name: 'place-freed', index: 0 });
    expect(watched.supervisor.places()).toEqual([]);
  });

  it('should be taken by whoever is added when it becomes free, also from within the event', async () => {
    const added: number[] = [];
    const watched: Watched = new Watched(script('process.exit(78)'), {
      processes: 1,
      onEvent: (event) => {
        if (event.name === 'place-freed' && added.length < 2) added.push(watched.supervisor.add());
      },
    });
    await watched.event('place-freed', 2);
    expect(added).toEqual([0, 0]);
    expect(watched.supervisor.places()).toEqual([]);
  });

  it.each(['retire', 'replace'] as const)(
    'should have its process killed when it does not end after %s',
    async (what) => {
      const watched = new Watched(script(READY + LIVE), { periods: { killMarginMs: 50 } });
      await watched.event('child-ready');
      // The later deadline changes nothing.
      watched.supervisor[what](0, 0);
      if (what === 'retire') watched.supervisor.retire(0, 3_600_000);
      expect(await watched.event('child-ended')).toMatchObject({
        kind: `${what}d`,
        end: { signal: 'SIGKILL', killed: true },
      });
      if (what === 'replace') await watched.event('child-ready', 1);
      else await watched.event('place-freed');
    },
  );
});

describe("a supervisor's end", () => {
  it('should come when all have ended, and not before it is asked for', async () => {
    const watched = new Watched(script(READY + LIVE), { processes: 2 });
    await watched.event('child-ready', 1);
    watched.supervisor.drain(3_600_000);
    expect(() => watched.supervisor.add()).toThrow(/add\(\) after drain\(\)/);
    expect(watched.supervisor.replace(0, 0)).toBe(false);
    watched.supervisor.killAll();
    await watched.supervisor.done;
    expect(watched.kinds()).toEqual(['drained', 'drained']);
    expect(watched.supervisor.places()).toEqual([]);
  });

  it('should not come because no place is left', async () => {
    const watched = new Watched(script('process.exit(2)'));
    await watched.event('place-freed');
    let done = false;
    void watched.supervisor.done.then(() => (done = true));
    expect(watched.supervisor.add()).toBe(0);
    await watched.event('place-freed', 1);
    expect(done).toBe(false);
    watched.supervisor.drain(0);
    await watched.supervisor.done;
  });
});

describe('a process group', () => {
  it.each([
    ['ends by itself', 'process.exitCode = 78;'],
    ['is killed', READY + LIVE],
  ])('should end with its leader when that %s', async (_, code) => {
    const watched = new Watched(script(FORK + code), { ownGroup: true });
    const pid = Number(await watched.line('forked '));
    if (code.startsWith(READY)) watched.supervisor.kill(0);
    await watched.event('child-ended');
    await gone(pid);
  });

  it('should be one only if it is wanted', async () => {
    const watched = new Watched(
      script(`${FORK}console.log('group ' + process.env.REMUDA_OWN_GROUP); process.exitCode = 78;`, {
        REMUDA_OWN_GROUP: '1',
      }),
    );
    const pid = Number(await watched.line('forked '));
    onCleanup(() => process.kill(pid, 'SIGKILL'));
    await watched.event('place-freed');
    expect(isAlive(pid)).toBe(true);
    expect(await watched.line('group ')).toBe('undefined');
  });
});

describe("a child's output", () => {
  it('should go into the journal only where its place says so', async () => {
    const told = async (...journal: number[]) => {
      const watched = new Watched(
        script("console.log('journal ' + process.env.REMUDA_JOURNAL); process.exitCode = 78;", {
          REMUDA_JOURNAL: '1,2',
        }),
        { journal },
      );
      await watched.event('place-freed');
      return watched.line('journal ');
    };
    expect(await told()).toBe('undefined');
    expect(await told(1)).toBe('1');
    expect(await told(1, 2)).toBe('1,2');
  });

  const CHARS = 8_000_000;
  const FLOOD = `process.stdout.write('x'.repeat(${CHARS}), () => { console.error('written'); process.exitCode = 78; });`;

  it('should be cut into pieces, and held up by the reader of its place alone', async () => {
    let letGo = () => undefined as void;
    const held = new Promise<void>((resolve) => (letGo = resolve));
    const watched = new Watched(
      (index) => script(index === 0 ? FLOOD : 'console.log("free"); process.exitCode = 78;')(index),
      {
        hold: (index) => (index === 0 ? held : undefined),
      },
    );
    await watched.line('x');
    watched.supervisor.add();
    expect(await watched.event('place-freed')).toMatchObject({ index: 1 });
    expect(watched.lines.map(({ index, stream }) => `${index} ${stream}`)).toEqual(['0 stdout', '1 stdout']);
    // What one read brings; the rest waits in the pipe, and the process with it.
    expect(watched.sinks.reduce((sum, { writableLength }) => sum + writableLength, 0)).toBeLessThan(1_000_000);
    letGo();
    await watched.event('place-freed', 1);
    const pieces = watched.lines.filter(({ line }) => line.startsWith('x')).map(({ line }) => line.length - 1);
    expect(pieces.reduce((sum, chars) => sum + chars, 0)).toBe(CHARS);
    expect(Math.max(...pieces)).toBe(65_536);
    await watched.line('written');
  });

  it('should not hold the child up when its reader is gone', async () => {
    const watched = new Watched(script(FLOOD), { hold: () => new Promise(() => undefined) });
    await watched.line('x');
    for (const sink of watched.sinks) sink.destroy();
    expect(await watched.event('child-ended')).toMatchObject({ end: { code: 78 } });
  });

  it('should be there, with the error, when the child could not start', async () => {
    // More than is read at once: the exit is known before the last words have been read.
    const code = `console.log('much to say\\n'.repeat(15_000)); throw new TypeError('no such herd');`;
    const watched = new Watched(script(code), { restartLimit: { attempts: 0, windowMs: 1 } });
    const { end, kind } = await watched.event('child-ended');
    expect(kind).toBe('given-up');
    expect(end).toMatchObject({ code: 1, signal: null, killed: false, error: undefined });
    expect(end.lastLines.length).toBeLessThanOrEqual(20);
    expect(end.lastLines).toContain('TypeError: no such herd');
  });
});

describe('a command that cannot be run', () => {
  it.each([
    ['is not there', { command: '/nowhere/node', args: [], env: {} }, 'ENOENT'],
    [
      'has an environment that is too large',
      { command: process.execPath, args: [], env: { A: 'a'.repeat(4_000_000) } },
      'E2BIG',
    ],
  ])('should be a failure of its place when it %s', async (_, command: ChildCommand, code) => {
    const watched = new Watched(() => command, { restartLimit: { attempts: 1, windowMs: 3_600_000 } });
    await watched.event('place-freed');
    expect(watched.kinds()).toEqual(['failed', 'given-up']);
    expect(await watched.event('child-ended')).toMatchObject({
      end: { pid: undefined, code: null, signal: null, error: { code }, lastLines: [] },
    });
    expect(watched.events.some(({ name }) => name === 'child-started')).toBe(false);
  });
});
