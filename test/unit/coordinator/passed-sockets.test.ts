import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../../coordinator/config.js';
import { takePassedSockets } from '../../../coordinator/passed-sockets.js';
import { UsageExit } from '../../../proto/program-options.js';

const PID = 4_711;
const OURS = { LISTEN_PID: String(PID), LISTEN_FDS: '1' };

function refusal(env: Record<string, string>): UsageExit {
  try {
    takePassedSockets(env, PID);
  } catch (error) {
    if (error instanceof UsageExit) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

describe('takePassedSockets', () => {
  it.each([
    ['1', [3]],
    ['3', [3, 4, 5]],
    ['64', Array.from({ length: 64 }, (_, index) => index + 3)],
  ])('takes %s from descriptor 3 on', (count, descriptors) => {
    expect(takePassedSockets({ ...OURS, LISTEN_FDS: count }, PID)).toEqual(descriptors);
  });

  it.each([
    ['nothing is passed', {}],
    ['the sockets are for another process', { ...OURS, LISTEN_PID: String(PID + 1) }],
    ['another process was given nonsense', { LISTEN_PID: String(PID + 1), LISTEN_FDS: 'x' }],
    ['nobody says for whom the sockets are', { LISTEN_FDS: '1' }],
    ['nobody says how many there are', { LISTEN_PID: String(PID) }],
    ['the variables are empty', { LISTEN_PID: '', LISTEN_FDS: '' }],
  ])('takes none if %s', (_, env) => {
    expect(takePassedSockets({ ...env }, PID)).toEqual([]);
  });

  it.each(['0', '-1', '65', '1.5', '1 ', 'x', '0x1', '99999999999999999999'])('refuses LISTEN_FDS=%s', (value) => {
    const { code, text } = refusal({ ...OURS, LISTEN_FDS: value });
    expect(code).toBe(2);
    expect(text).toContain(`LISTEN_FDS is "${value}": it must be how many sockets were passed, 1 to 64; start it from`);
  });

  it.each(['0', '-1', 'x', '4711x', ' 4711'])('refuses LISTEN_PID=%s', (value) => {
    expect(refusal({ ...OURS, LISTEN_PID: value }).text).toContain(
      `LISTEN_PID is "${value}": it must be the id of a process; start it from`,
    );
  });

  it.each([
    ['taken', OURS],
    ['for another process', { ...OURS, LISTEN_PID: '1' }],
    ['malformed', { ...OURS, LISTEN_FDS: 'x' }],
  ])('removes the variables when they are %s, and no others', (_, given) => {
    const env: Record<string, string> = { ...given, LISTEN_FDNAMES: 'grpc', PATH: '/bin' };
    try {
      takePassedSockets(env, PID);
    } catch (error) {
      expect(error).toBeInstanceOf(UsageExit);
    }
    expect(env).toEqual({ PATH: '/bin' });
  });
});

describe('parseConfig, passed sockets', () => {
  const unused = { kind: 'tcp', host: '127.0.0.1', port: 1 };

  it('serves on them instead of the default', () => {
    expect(parseConfig([], {}, [3, 4]).listen).toEqual({ kind: 'passed', descriptors: [3, 4], unused: null });
  });

  it.each([
    ['--listen', ['--listen', '127.0.0.1:1'], {}],
    ['REMUDA_LISTEN', [], { REMUDA_LISTEN: '127.0.0.1:1' }],
  ])('keeps the %s that they replace, to tell of it', (_, argv, env) => {
    expect(parseConfig(argv, env, [3]).listen).toEqual({ kind: 'passed', descriptors: [3], unused });
  });
});
