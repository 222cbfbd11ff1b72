import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ServiceManager, takeServiceManager } from '../../../proto/service-manager.js';
import { NotifyProgram, RECORDER } from '../../support/notify-program.js';
import { isAlive } from '../../support/programs.js';

const open = (program: NotifyProgram, faults: string[] = [], answerMs?: number): ServiceManager =>
  new ServiceManager({ socket: program.socket, watchdogMs: undefined }, (fault) => faults.push(fault), {
    path: program.path,
    ...(answerMs === undefined ? {} : { answerMs }),
  });

describe('the service manager', () => {
  it('should be told everything of one notice at once, and the last words before close() returns', async () => {
    using program = new NotifyProgram();
    const manager = open(program);
    manager.notify({ ready: true, status: 'it serves', watchdog: true });
    await program.notice(({ READY }) => READY === '1', 'readiness');
    manager.notify({ stopping: true, extendTimeoutMs: 1_500.4 });
    manager.notify({ status: 'gone' });
    await manager.close();
    const [first] = program.notices;
    expect(first).toEqual({ READY: '1', STATUS: 'it serves', WATCHDOG: '1' });
    const all = { ...first, STATUS: 'gone', STOPPING: '1', EXTEND_TIMEOUT_USEC: '1500400' };
    expect(Object.assign({}, ...program.notices)).toEqual(all);
  });

  it('should be told what was said while a notice was on its way together, each as it was said last', async () => {
    using program = new NotifyProgram();
    const manager = open(program);
    for (let number = 0; number < 1_000; number += 1) manager.notify({ watchdog: true, status: `at ${number}` });
    await manager.close();
    expect(program.notices).toEqual([
      { WATCHDOG: '1', STATUS: 'at 0' },
      { WATCHDOG: '1', STATUS: 'at 999' },
    ]);
  });

  it('should be told a status as it is, on one line, whatever a shell would make of it', async () => {
    using program = new NotifyProgram();
    const manager = open(program);
    const status = '$(id) `id` * ~ \\ \'a\' "b" -- %s';
    manager.notify({ status: `${status}\nREADY=1\n\n` });
    await manager.close();
    expect(program.notices).toEqual([{ STATUS: `${status} READY=1` }]);
  });

  it('should find a fault once until a notice gets through, and say then what counts', async () => {
    using program = new NotifyProgram();
    const faults: string[] = [];
    const manager = open(program, faults);
    program.install('#!/bin/sh\necho "no such socket" >&2\necho "$1" >> "$NOTIFY_SOCKET.asked"\nexit 7\n');
    manager.notify({ status: 'a' });
    await expect.poll(() => faults.length).toBe(1);
    manager.notify({ status: 'b' });
    await expect.poll(() => readFileSync(`${program.socket}.asked`, 'utf8')).toBe('STATUS=a\nSTATUS=b\n');
    expect(faults).toEqual([expect.stringContaining('systemd-notify ended with 7: no such socket')]);
    expect(faults[0]).toContain(program.socket);
    rmSync(join(program.folder, 'systemd-notify'));
    program.install(RECORDER);
    manager.notify({ status: 'c' });
    await manager.close();
    expect(program.notices).toEqual([{ STATUS: 'c' }]);
  });

  it('should be told again what counts when it was not told, and not of an old sign of life', async () => {
    using program = new NotifyProgram();
    const faults: string[] = [];
    const manager = open(program, faults);
    program.install('#!/bin/sh\nexit 1\n');
    manager.notify({ ready: true, watchdog: true, extendTimeoutMs: 1, status: 'first' });
    await expect.poll(() => faults.length).toBe(1);
    program.install(RECORDER);
    manager.notify({ extendTimeoutMs: 2 });
    await manager.close();
    expect(program.notices).toEqual([{ READY: '1', STATUS: 'first', EXTEND_TIMEOUT_USEC: '2000' }]);
  });

  it('should be told the next thing when a notice is never answered, and nothing of it be left running', async () => {
    using program = new NotifyProgram();
    const faults: string[] = [];
    const manager = open(program, faults, 200);
    program.install(`#!/bin/sh\necho $$ > "$NOTIFY_SOCKET.pid"; exec sleep 600\n`);
    manager.notify({ ready: true });
    await expect.poll(() => faults).toEqual([expect.stringContaining('SIGKILL')]);
    expect(isAlive(Number(readFileSync(`${program.socket}.pid`, 'utf8')))).toBe(false);
    program.install(RECORDER);
    manager.notify({ watchdog: true });
    await manager.close();
    expect(program.notices).toEqual([{ READY: '1', WATCHDOG: '1' }]);
  });

  it('should say again what a shell that was killed has not said', async () => {
    using program = new NotifyProgram();
    const faults: string[] = [];
    const manager = open(program, faults);
    // The shell is its parent.
    program.install(`#!/bin/sh\nif [ -e "$NOTIFY_SOCKET.once" ]; then printf '%s\\t' "$@" >> "$NOTIFY_SOCKET"; echo >> "$NOTIFY_SOCKET"
else : > "$NOTIFY_SOCKET.once"; kill -9 $PPID; fi\n`);
    manager.notify({ ready: true, status: 'first' });
    await expect.poll(() => faults).toEqual([expect.stringContaining('SIGKILL')]);
    manager.notify({ status: 'second' });
    await manager.close();
    expect(program.notices).toEqual([{ READY: '1', STATUS: 'second' }]);
  });

  it('should not be waited for when it does not answer', async () => {
    using program = new NotifyProgram();
    const manager = open(program);
    program.install(`#!/bin/sh\necho $$ > "$NOTIFY_SOCKET.pid"; exec sleep 600\n`);
    manager.notify({ ready: true });
    await manager.close();
    await expect.poll(() => isAlive(Number(readFileSync(`${program.socket}.pid`, 'utf8')))).toBe(false);
    expect(program.notices).toEqual([]);
  });

  it('should be found in the environment, and taken out of it', () => {
    const env = { NOTIFY_SOCKET: '/run/n', WATCHDOG_USEC: '30000000', WATCHDOG_PID: '5', HOME: '/' };
    expect(takeServiceManager(env, 5)).toEqual({ socket: '/run/n', watchdogMs: 30_000 });
    expect(env).toEqual({ HOME: '/' });
    expect(takeServiceManager(env, 5)).toBeUndefined();
    // A watchdog for another process is none for this one, and nonsense is none at all.
    for (const other of [{ WATCHDOG_PID: '6', WATCHDOG_USEC: '1' }, { WATCHDOG_USEC: 'soon' }, {}]) {
      expect(takeServiceManager({ NOTIFY_SOCKET: '/run/n', ...other }, 5)).toEqual({
        socket: '/run/n',
        watchdogMs: undefined,
      });
    }
  });
});
