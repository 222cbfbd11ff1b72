import { describe, expect, it } from 'vitest';
import { readPoolTask } from '../../../coordinator/pool/submit-task.js';

function setup() {
  const unknown: string[] = [];
  const read = (task: unknown) =>
    readPoolTask(task, {
      taskTimeout: 7_000,
      newTaskId: () => 'new-id',
      onUnknown: (field) => void unknown.push(field),
    });
  return { read, unknown };
}

describe('a task of a pool', () => {
  it('should have the defaults of the pool', () => {
    expect(setup().read({ type: 'a' })).toEqual({
      type: 'a',
      payload: null,
      options: { taskId: 'new-id', timeoutMs: 7_000 },
    });
  });

  it('should be handed to the client in its words', () => {
    const deadline = Date.UTC(2030, 0, 1);
    const { signal } = new AbortController();
    const task = { type: 'a', payload: 0, priority: 0, timeout: 5, deadline, maxAttempts: 1, taskId: 'x', signal };
    expect(setup().read(task)).toEqual({
      type: 'a',
      payload: 0,
      options: { taskId: 'x', priority: 0, timeoutMs: 5, deadline: new Date(deadline), maxAttempts: 1, signal },
    });
  });

  it("should let a program's own fields be, and tell of them", () => {
    const { read, unknown } = setup();
    expect(read({ type: 'a', id: 5, timout: 9 }).options).toEqual({ taskId: 'new-id', timeoutMs: 7_000 });
    expect(unknown).toEqual(['id', 'timout']);
  });

  it.each([
    [undefined, 'task: is null; it must be an object'],
    ['a', 'task: is "a"; it must be an object'],
    [{}, 'type: is missing'],
    [{ type: '' }, 'type: is ""; it must be 1 to 127 characters'],
    [{ type: 'a', priority: 101 }, 'priority: is 101; it must be a whole number from 0 to 100'],
    [{ type: 'a', timeout: 0 }, 'timeout: is 0; it must be a whole number from 1 to 86400000 (milliseconds)'],
    [{ type: 'a', deadline: 5_000 }, 'for a span write Date.now() + milliseconds'],
    [{ type: 'a', deadline: '2030' }, 'deadline: is "2030"; it must be a Date'],
    [{ type: 'a', signal: 1 }, 'signal: is 1; it must be an AbortSignal'],
  ])('should refuse %o', (task, message) => {
    expect(() => setup().read(task)).toThrow(message);
  });
});
