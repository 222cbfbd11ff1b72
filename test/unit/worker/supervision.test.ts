import { fstatSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { forgetSupervision, journalPath, SUPERVISION_ENV } from '../../../worker/supervision.js';

describe('journalPath', () => {
  const supervised = { [SUPERVISION_ENV.incarnation]: 'a'.repeat(32), [SUPERVISION_ENV.supervisorFd]: '3' };

  it('should be direct when the stream is the journal itself, whatever a supervisor says', () => {
    const { dev, ino } = fstatSync(1, { bigint: true });
    const env = { JOURNAL_STREAM: `${dev}:${ino}` };
    expect(journalPath(1, env)).toBe('direct');
    expect(journalPath(1, { ...env, ...supervised, REMUDA_JOURNAL: '1' })).toBe('direct');
    expect(journalPath(1, { JOURNAL_STREAM: `${dev}:${ino + 1n}` })).toBeUndefined();
    expect(journalPath(1, {})).toBeUndefined();
  });

  it('should be relayed for the descriptors that the supervisor names', () => {
    expect(journalPath(1, { ...supervised, REMUDA_JOURNAL: '1,2' })).toBe('relayed');
    expect(journalPath(2, { ...supervised, REMUDA_JOURNAL: '1,2' })).toBe('relayed');
    expect(journalPath(2, { ...supervised, REMUDA_JOURNAL: '1' })).toBeUndefined();
    expect(journalPath(1, supervised)).toBeUndefined();
  });

  it('should not believe the variable without a supervisor', () => {
    expect(journalPath(1, { REMUDA_JOURNAL: '1,2' })).toBeUndefined();
  });
});

describe('forgetSupervision', () => {
  it('should leave to user code what the system said, and nothing of what the supervisor did', () => {
    const env: Record<string, string | undefined> = { JOURNAL_STREAM: '8:1' };
    for (const name of Object.values(SUPERVISION_ENV)) env[name] = '1';
    forgetSupervision(env);
    expect(env).toEqual({ JOURNAL_STREAM: '8:1' });
  });
});
