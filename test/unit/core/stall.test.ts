import { describe, expect, it } from 'vitest';
import { LEASE_END_MS, LEASE_MS, LIMIT_MS, running } from './support.js';

describe('a stall of the process', () => {
  it('moves all leases by its length', () => {
    const { core } = running();
    core.advance(LEASE_END_MS + 3_000, { kind: 'stalled', gapMs: 4_000 });
    expect(core.row('t').state).toBe('RUNNING');
    core.advance(1_000);
    expect(core.row('t').state).toBe('QUEUED');
  });

  it('moves a lease by at most one lease between two arrivals of a session', () => {
    const { core, session } = running();
    core.step({ kind: 'stalled', gapMs: LEASE_MS - 1_000 }, { kind: 'stalled', gapMs: 60_000 });
    core.advance(LEASE_END_MS + LEASE_MS - 1);
    expect(core.row('t').state).toBe('RUNNING');
    core.step(core.frameInput(session), { kind: 'stalled', gapMs: 60_000 });
    core.advance(LEASE_END_MS + LEASE_MS - 1);
    expect(core.row('t').state).toBe('RUNNING');
    core.advance(1);
    expect(core.row('t').state).toBe('QUEUED');
  });

  it('that outlasted leases gives nobody up at once: what has come meanwhile is not read at once', () => {
    const { core } = running();
    core.advance(60_000, { kind: 'stalled', gapMs: 60_000 });
    expect(core.row('t').state).toBe('RUNNING');
    core.advance(LEASE_END_MS - LEASE_MS - 1);
    expect(core.row('t').state).toBe('RUNNING');
    core.advance(1);
    expect(core.row('t').state).toBe('QUEUED');
  });

  it('moves the limits of attempts too, so that a report that waits in a socket comes first', () => {
    const { core, session } = running({ timeoutMs: 10_000, retry: { maxAttempts: 1 } });
    const limitMs = 10_000 + LIMIT_MS;
    core.advanceAlive(limitMs - 5_000, session);
    core.advance(9_000, { kind: 'stalled', gapMs: 9_000 });
    expect(core.row('t').state).toBe('RUNNING');
    expect(core.report(session, core.ref('t'))).toBe('');
    expect(core.row('t').state).toBe('SUCCEEDED');
  });

  it('moves them by all of its length: old frames that are read first renew the lease, and the report comes on a later stream', () => {
    const { core, session } = running({ timeoutMs: 1_000 });
    const ref = core.ref('t');
    core.monoMs += 60_000;
    core.step({ kind: 'stalled', gapMs: 60_000 }, core.frameInput(session));
    expect(core.row('t')).toMatchObject({ state: 'RUNNING', failureCount: 0 });
    const again = core.hello('w', { sessionNumber: 2, unsentReports: [ref] });
    expect(core.report(again, ref)).toBe('');
    expect(core.row('t')).toMatchObject({ state: 'SUCCEEDED', failureCount: 0 });
  });

  it('moves the wait for workers after a restart too', () => {
    const { core } = running();
    core.restart();
    core.advance(LEASE_END_MS + 500, { kind: 'stalled', gapMs: 1_000 });
    expect(core.row('t').state).toBe('RUNNING');
    core.advance(500);
    expect(core.row('t').state).toBe('QUEUED');
  });
});
