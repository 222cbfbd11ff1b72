import { describe, expect, it } from 'vitest';
import { createWorker } from '../../../worker/index.js';
import { addressFault } from '../../../client/address.js';
import { compileWorkerOptions, labelFaults, workerIdFault } from '../../../worker/worker-options.js';

describe('compileWorkerOptions', () => {
  it('should fill in defaults', () => {
    expect(compileWorkerOptions({ address: 'localhost:7070' })).toMatchObject({
      ...{ address: 'localhost:7070', slots: 1, prefetch: 0, onStuck: 'report', labels: {}, workerIdIsDefault: true },
      session: 'thread',
    });
  });

  it('should name all faults in one message', () => {
    const options = {
      address: 'x',
      slots: 0,
      prefetch: -1,
      workerId: '',
      labels: { 'a b': 'c' },
      onStuck: 'no',
      session: 'fiber',
    };
    expect(() => compileWorkerOptions(options as never)).toThrow(
      /address is "x".*slots is 0.*prefetch is -1.*worker_id is "".*label key "a b".*onStuck is "no".*session is "fiber"; it must be 'thread' or 'inline'/,
    );
  });

  it.each(['127.0.0.1:7070', '[::1]:7070', 'host.example:1', 'unix:/run/remuda.sock', 'unix:rel.sock'])(
    'should take %s',
    (address) => {
      expect(addressFault(address)).toBeUndefined();
    },
  );

  it.each(['', 'host', 'host:0', 'host:65536', ':7070', 'http://host:1', 'unix:', `unix:/${'x'.repeat(100)}`])(
    'should refuse %s',
    (address) => {
      expect(addressFault(address)).toMatch(/address/);
    },
  );

  it('should bound ids and labels', () => {
    expect(workerIdFault('host-1/resize-3@x:y')).toBeUndefined();
    for (const id of ['', '/x', 'a b', 'x'.repeat(128)]) expect(workerIdFault(id)).toMatch(/worker_id is/);
    expect(labelFaults({ a: 'x'.repeat(63) })).toEqual([]);
    expect(labelFaults({ a: 'x'.repeat(64) })).toHaveLength(1);
    expect(labelFaults({ a: 1 })).toHaveLength(1);
    expect(labelFaults({ ['__proto__']: 'x' })).toEqual([expect.stringContaining('other than __proto__')]);
    expect(labelFaults(Object.fromEntries(Array.from({ length: 65 }, (_, index) => [`k${index}`, '']))).length).toBe(1);
  });
});

describe('registerTaskHandler', () => {
  const worker = () => createWorker({ address: 'localhost:7070' });

  it('should refuse a type that has a handler already', () => {
    expect(() =>
      worker()
        .registerTaskHandler('a', () => 1)
        .registerTaskHandler('a', () => 2),
    ).toThrow('the type has a handler already');
  });

  it('should refuse types and handlers that are none', () => {
    expect(() => worker().registerTaskHandler('', () => 1)).toThrow('"" is no task type');
    expect(() => worker().registerTaskHandler('a', 5 as never)).toThrow('the handler of "a" is a number');
  });

  it('should refuse to start without handlers', async () => {
    await expect(worker().start()).rejects.toThrow('no handlers');
  });
});
