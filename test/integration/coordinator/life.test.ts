import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseConfig } from '../../../coordinator/config.js';
import { Coordinator } from '../../../coordinator/coordinator.js';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'life-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

/** In this process, where the check for what is left open sees it. */
function setup(args: readonly string[] = []) {
  const store = `sqlite:${join(folder, 'x.db')}`;
  const local = ['--listen', '127.0.0.1:0', '--http', '127.0.0.1:0', '--store', store];
  const fatal: Error[] = [];
  const coordinator = new Coordinator(parseConfig([...local, ...args], {}), {
    log: pino({ level: 'silent' }),
    onFatal: (error) => fatal.push(error),
  });
  return { coordinator, fatal };
}

describe('Coordinator', () => {
  it('tells where it listens, stops once for all who ask, and gives the store back', async () => {
    const { coordinator, fatal } = setup();
    const { listen, http } = await coordinator.start();
    expect(listen).toMatch(/:[1-9]\d+$/);
    expect(http).toMatch(/:[1-9]\d+$/);
    await Promise.all([coordinator.stop(), coordinator.stop()]);
    await coordinator.stop();
    const next = setup();
    await next.coordinator.start();
    await next.coordinator.stop();
    expect([...fatal, ...next.fatal]).toEqual([]);
  });

  it('stops before it was started', async () => {
    await expect(setup().coordinator.stop()).resolves.toBeUndefined();
  });

  it.each([0, 1, 3, 10, 30])('stops when it is told to %i turns after it began to start', async (turns) => {
    const { coordinator, fatal } = setup();
    const started = coordinator.start().catch((error: unknown) => error);
    for (let turn = 0; turn < turns; turn += 1) await new Promise((done) => setImmediate(done));
    await coordinator.stop();
    await started;
    const next = setup();
    await next.coordinator.start();
    await next.coordinator.stop();
    expect([...fatal, ...next.fatal]).toEqual([]);
  });

  it.each(['--listen', '--http'])('gives everything back after a start that failed at %s', async (flag) => {
    const server = createServer();
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const bound = server.address();
    if (bound === null || typeof bound === 'string') throw new Error('no port');
    const { coordinator } = setup([flag, `127.0.0.1:${bound.port}`]);
    await expect(coordinator.start()).rejects.toThrow(`(${flag}): another process listens there`);
    await coordinator.stop();
    await new Promise((done) => server.close(done));
    const next = setup();
    await next.coordinator.start();
    await next.coordinator.stop();
  });
});
