import { describe, expect, it } from 'vitest';
import { cut, describeThrown, thrownText } from '../../../worker/thrown.js';

describe('describeThrown', () => {
  it('should take reason, retryable, message, stack and causes of an Error', () => {
    const cause = new TypeError('the disk');
    const failure = describeThrown(
      Object.assign(new Error('no bytes', { cause }), { reason: 'NO_BYTES', retryable: false }),
    );
    expect(failure).toMatchObject({ reason: 'NO_BYTES', message: 'no bytes', nonRetryable: true });
    expect(failure.stack).toMatch(/Error: no bytes\n[^]*caused by: TypeError: the disk\n/);
  });

  it('should fall back to HANDLER_ERROR for a reason that is not UPPER_SNAKE_CASE', () => {
    expect(describeThrown(Object.assign(new Error('x'), { reason: 'no reason' })).reason).toBe('HANDLER_ERROR');
  });

  it.each([
    ['x', 'the handler threw the string "x"; throw an Error to get a stack trace'],
    [undefined, 'the handler threw undefined; throw an Error to get a stack trace'],
    [null, 'the handler threw null; throw an Error to get a stack trace'],
    [42, 'the handler threw the number 42; throw an Error to get a stack trace'],
    [{ code: 7 }, 'the handler threw the object { code: 7 }; throw an Error to get a stack trace'],
    [new Error(''), 'the handler threw an Error without a message'],
    [new TypeError(''), 'TypeError'],
  ])('should describe %s', (thrown, message) => {
    expect(describeThrown(thrown)).toMatchObject({ reason: 'HANDLER_ERROR', message, nonRetryable: false });
  });

  it('should survive a value whose getters throw', () => {
    const hostile = { get message(): string { throw new Error('gotcha'); } }; // prettier-ignore
    expect(describeThrown(hostile).message).toBe('the handler threw a value that cannot be described');
  });

  it('should cut texts to their bounds, whole characters only', () => {
    const { message } = describeThrown(new Error('ä'.repeat(5_000)));
    expect(Buffer.byteLength(message)).toBeLessThanOrEqual(4_096);
    expect(message).toMatch(/^ä+…$/);
    expect(cut('short', 4_096)).toBe('short');
  });
});

describe('thrownText', () => {
  it('should give stack and causes of an Error, and anything else in words', () => {
    expect(thrownText(new Error('no bytes', { cause: 'the disk' }))).toMatch(
      /^Error: no bytes\n {4}at [^]*\ncaused by: the string "the disk"$/,
    );
    expect(thrownText(42)).toBe('the number 42');
    expect(thrownText({ message: 'of another realm' })).toBe('of another realm');
    const hostile = { get message(): string { throw new Error('gotcha'); } }; // prettier-ignore
    expect(thrownText(hostile)).toBe('a value that cannot be described');
  });
});
