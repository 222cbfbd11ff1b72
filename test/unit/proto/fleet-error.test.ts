import { Metadata, status as Code } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { FleetError, isFleetError, quoted } from '../../../proto/fleet-error.js';

function overTheWire(error: FleetError): FleetError {
  const { code, details, metadata } = error.toStatus();
  return FleetError.from(Object.assign(new Error(`${code} ${details}`), { code, details, metadata }));
}

describe('FleetError', () => {
  it('should survive the way through a gRPC status with all that it says', () => {
    const error = new FleetError(Code.RESOURCE_EXHAUSTED, 'QUEUE_FULL', 'the queue holds 5 tasks, its bound; wait', {
      metadata: { limit: '5' },
      violations: [{ field: 'options.priority', description: 'is 101; 0 to 100 are allowed' }],
      retryDelayMs: 1_500,
      quota: { subject: 'coordinator', description: 'max-open-tasks 5' },
      cause: new Error('secret'),
    });
    const back = overTheWire(error);
    expect(back).toMatchObject({
      code: Code.RESOURCE_EXHAUSTED,
      reason: 'QUEUE_FULL',
      message: 'the queue holds 5 tasks, its bound; wait',
      metadata: { limit: '5' },
      retryDelayMs: 1_500,
      quota: { subject: 'coordinator', description: 'max-open-tasks 5' },
    });
    expect(back.violations).toMatchObject(error.violations);
    expect(JSON.stringify(error.toStatus())).not.toContain('secret');
  });

  it('should keep reasons of other domains to themselves and read a status without details', () => {
    const error = Object.assign(new Error('14 UNAVAILABLE: no connection'), {
      code: Code.UNAVAILABLE,
      details: 'no connection',
      metadata: new Metadata(),
    });
    expect(FleetError.from(error)).toMatchObject({
      code: Code.UNAVAILABLE,
      reason: '',
      message: 'no connection',
      cause: error,
    });
  });

  it('should read a status whose details are garbage', () => {
    const metadata = new Metadata();
    metadata.set('grpc-status-details-bin', Buffer.from([255, 255, 255]));
    const error = Object.assign(new Error('x'), { code: Code.ABORTED, details: 'moved', metadata });
    expect(FleetError.from(error)).toMatchObject({ code: Code.ABORTED, message: 'moved' });
  });

  it('should be INTERNAL for anything unexpected, and not say what it was', () => {
    const cause = new TypeError('password hunter2 is not iterable');
    const error = FleetError.from(cause);
    expect(error).toMatchObject({ code: Code.INTERNAL, reason: 'INTERNAL', cause });
    expect(error.message).not.toContain('hunter2');
    expect(FleetError.from(undefined).code).toBe(Code.INTERNAL);
  });

  it('should return a FleetError as it is', () => {
    const error = new FleetError(Code.NOT_FOUND, 'TASK_NOT_FOUND', 'no task');
    expect(FleetError.from(error)).toBe(error);
    expect(isFleetError(error)).toBe(true);
    expect(isFleetError(new Error('no'))).toBe(false);
  });

  it('should name every violation in one sentence', () => {
    const error = FleetError.invalid('INVALID_TASK', [
      { field: 'type', description: 'is empty' },
      { field: 'options.priority', description: 'is 101' },
    ]);
    expect(error).toMatchObject({ code: Code.INVALID_ARGUMENT, message: 'type: is empty; options.priority: is 101' });
  });

  it('should stay small enough for trailers however much is wrong', () => {
    const violations = Array.from({ length: 5_000 }, (_, n) => ({
      field: `running[${n}]`,
      description: 'x'.repeat(1_000),
    }));
    const { details, metadata } = FleetError.invalid('INVALID_HELLO', violations).toStatus();
    const bytes = metadata.get('grpc-status-details-bin')[0] as Buffer;
    expect(details.length).toBeLessThanOrEqual(1_024);
    expect(Math.ceil(bytes.length / 3) * 4 + details.length).toBeLessThan(8_192);
  });

  it('should quote values in full, escaped and cut', () => {
    expect(quoted('a"b\n')).toBe(String.raw`"a\"b\n"`);
    expect(quoted('x'.repeat(100))).toHaveLength(66);
  });
});
