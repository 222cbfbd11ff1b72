import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { UsageExit } from '../../../proto/program-options.js';
import { childArguments, parseMainConfig } from '../../../worker/main-config.js';
import { SUPERVISION_ENV } from '../../../worker/supervision.js';

function faults(argv: string[], env: Record<string, string> = {}): UsageExit {
  try {
    parseMainConfig(argv, env);
  } catch (error) {
    if (error instanceof UsageExit) return error;
    throw error;
  }
  throw new Error('no fault');
}

describe('parseMainConfig', () => {
  it('should have defaults', () => {
    expect(parseMainConfig(['h.mjs'], {})).toEqual({
      ...{ handlers: 'h.mjs', address: '127.0.0.1:7070', workerId: undefined, slots: 1, prefetch: 0, labels: {} },
      ...{
        drainTimeoutMs: 300_000,
        logLevel: 'info',
        session: 'thread',
        stopOnStdinEnd: false,
        processes: undefined,
        supervised: undefined,
        strayVariables: [],
      },
    });
  });

  it('should take the handlers file from a variable, and the argument before it', () => {
    const env = { REMUDA_HANDLERS: '/opt/h.mjs' };
    expect(parseMainConfig([], env).handlers).toBe('/opt/h.mjs');
    expect(parseMainConfig(['h.mjs'], env).handlers).toBe('h.mjs');
  });

  it('should name variables that mean nothing to it, once for all processes', () => {
    const env = { REMUDA_PROCESES: '4', REMUDA_SLOTS: '2', REMUDA_LEASE: '1s', HOME: '/' };
    expect(parseMainConfig(['h.mjs'], env).strayVariables).toEqual(['REMUDA_PROCESES', 'REMUDA_LEASE']);
    const child = { ...env, [SUPERVISION_ENV.incarnation]: 'a'.repeat(32), [SUPERVISION_ENV.supervisorFd]: '3' };
    expect(parseMainConfig(['h.mjs'], child).strayVariables).toEqual([]);
  });

  it('should know every variable that it reads', () => {
    const source = readFileSync(new URL('../../../worker/main-config.ts', import.meta.url), 'utf8');
    const read = [...source.matchAll(/'(REMUDA_[A-Z_]+)'/g)].map(([, name]) => [name, '']);
    expect(read.length).toBeGreaterThan(9);
    expect(parseMainConfig(['h.mjs'], Object.fromEntries(read) as Record<string, string>).strayVariables).toEqual([]);
  });

  it('should watch stdin only when asked to, and never in a supervised child', () => {
    const guard = { REMUDA_STOP_ON_STDIN_EOF: '1' };
    expect(parseMainConfig(['h.mjs'], guard).stopOnStdinEnd).toBe(true);
    expect(parseMainConfig(['h.mjs'], { REMUDA_STOP_ON_STDIN_EOF: 'yes' }).stopOnStdinEnd).toBe(false);
    const child = { ...guard, [SUPERVISION_ENV.incarnation]: 'a'.repeat(32), [SUPERVISION_ENV.supervisorFd]: '3' };
    expect(parseMainConfig(['h.mjs'], child).stopOnStdinEnd).toBe(false);
  });

  it('should take an option before its variable before the default', () => {
    const env = {
      REMUDA_SLOTS: '3',
      REMUDA_PREFETCH: '2',
      REMUDA_LABEL: 'a=1,b=2',
      REMUDA_DRAIN_TIMEOUT: '90s',
      REMUDA_ADDRESS: '',
    };
    expect(parseMainConfig(['--slots', '4', 'h.mjs'], env)).toMatchObject({
      ...{ slots: 4, prefetch: 2, labels: { a: '1', b: '2' }, drainTimeoutMs: 90_000, address: '127.0.0.1:7070' },
    });
    const inline = { REMUDA_SESSION: 'inline' };
    expect(parseMainConfig(['h.mjs'], inline).session).toBe('inline');
    expect(parseMainConfig(['--session', 'thread', 'h.mjs'], inline).session).toBe('thread');
    expect(parseMainConfig(['--label', 'c=3=4', '--label', 'd=', 'h.mjs'], env).labels).toEqual({ c: '3=4', d: '' });
  });

  it('should name every fault at once', () => {
    const { text, code } = faults([
      '--slots',
      'x',
      '--processes',
      '0',
      '--label',
      'a',
      '--drain-timeout',
      '5',
      '--nope',
      '--log-level',
      'loud',
      '--session',
      'fiber',
    ]);
    expect(code).toBe(2);
    for (const part of [
      '--slots is "x"',
      '--processes is 0',
      '--label is "a"',
      '--drain-timeout is "5"',
      'unknown option --nope',
      'no handlers file',
      '--log-level is "loud"',
      '--session is "fiber"; it must be one of thread, inline',
    ]) {
      expect(text).toContain(part);
    }
  });

  it('should call a handlers file missing that comes from an unset variable', () => {
    expect(faults(['']).text).toContain('no handlers file');
  });

  it('should refuse two handlers files, a label given twice, and an option without its value', () => {
    expect(faults(['a.mjs', 'b.mjs']).text).toContain('one handlers file, please: "a.mjs" "b.mjs" are 2');
    expect(faults(['a.mjs', '--label', 'k=1', '--label', 'k=2']).text).toContain('--label names "k" twice');
    expect(faults(['a.mjs', '--label', '__proto__=1']).text).toContain('label key "__proto__" must be');
    expect(parseMainConfig(['a.mjs', '--label', 'constructor=1'], {}).labels).toEqual({ constructor: '1' });
    expect(faults(['a.mjs', '--slots'])).toMatchObject({
      code: 2,
      text: expect.stringContaining("'--slots <N>' argument missing") as string,
    });
  });

  it('should show help with an example', () => {
    expect(faults(['--help'])).toMatchObject({
      code: 0,
      text: expect.stringMatching(/Usage: remuda-worker[^]*--drain-timeout[^]*remuda-worker handlers\.mjs/) as string,
    });
  });

  it('should take what a supervisor says, and then not supervise', () => {
    const env = {
      ...{
        REMUDA_INCARNATION: 'a'.repeat(32),
        REMUDA_REPLACES: `${'b'.repeat(32)},nonsense`,
        REMUDA_SUPERVISOR_FD: '3',
      },
      REMUDA_PROCESSES: '4',
    };
    expect(parseMainConfig(['h.mjs'], env)).toMatchObject({
      processes: undefined,
      supervised: { incarnation: 'a'.repeat(32), replaces: ['b'.repeat(32)], fd: 3, ownGroup: false },
    });
    expect(parseMainConfig(['h.mjs'], { ...env, REMUDA_OWN_GROUP: '1' }).supervised).toMatchObject({ ownGroup: true });
  });
});

describe('childArguments', () => {
  it('should give a child the whole configuration and an id of its own', () => {
    const config = parseMainConfig(
      ['--worker-id', 'w', '--slots', '2', '--label', 'a=b c', '--processes', '3', '--session', 'inline', './-h.mjs'],
      {},
    );
    const child = parseMainConfig(childArguments(config, 2), { REMUDA_SLOTS: '9', REMUDA_SESSION: 'thread' });
    expect(child).toEqual({ ...config, workerId: 'w/2', processes: undefined });
  });

  it('should name it after host and handlers without an id', () => {
    const config = parseMainConfig(['dir/resize.mjs', '--processes', '1'], {});
    expect(childArguments(config, 0).join(' ')).toMatch(/--worker-id=[^ ]+\/resize\/0 /);
  });
});
