import { status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { CliError, errorText, exitStatusOf } from '../../../client/cli/exit-status.js';
import { FleetError } from '../../../proto/fleet-error.js';

describe('exitStatusOf', () => {
  it.each([
    ['no coordinator', status.UNAVAILABLE, 'COORDINATOR_UNREACHABLE', 3],
    ['a coordinator that is stopping', status.UNAVAILABLE, 'COORDINATOR_STOPPING', 3],
    ['no answer in time', status.DEADLINE_EXCEEDED, '', 3],
    ['not found', status.NOT_FOUND, 'TASK_NOT_FOUND', 5],
    ['already exists', status.ALREADY_EXISTS, 'TASK_ID_TAKEN', 5],
    ['over a bound', status.RESOURCE_EXHAUSTED, 'QUEUE_FULL', 5],
    ['an invalid task', status.INVALID_ARGUMENT, 'INVALID_TASK', 5],
    ['a server of something else', status.UNAVAILABLE, 'NOT_A_COORDINATOR', 3],
    ['an address that is none', status.INVALID_ARGUMENT, 'INVALID_ADDRESS', 2],
    ['a bug', status.INTERNAL, 'INTERNAL', 70],
  ])('should be right for %s', (_name, code, reason, expected) => {
    expect(exitStatusOf(new FleetError(code, reason, 'x'))).toBe(expected);
  });

  it('should be what a CliError says, and 70 for anything unexpected', () => {
    expect(exitStatusOf(new CliError(4, 'x'))).toBe(4);
    expect(exitStatusOf(new TypeError('x'))).toBe(70);
  });
});

describe('errorText', () => {
  it('should tell reason and time of a repeat', () => {
    const error = new FleetError(status.RESOURCE_EXHAUSTED, 'QUEUE_FULL', 'the queue is full', { retryDelayMs: 1_500 });
    expect(errorText(error)).toBe('the queue is full (try again in 2 s) [QUEUE_FULL]');
  });
});
