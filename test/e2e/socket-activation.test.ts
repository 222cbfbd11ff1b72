import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { status as Code } from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import { createClient } from '../../client/index.js';
import { FleetError } from '../../proto/fleet-error.js';
import { closeHeldSockets, HeldSocket, readyActivated } from '../support/held-socket.js';
import { endPrograms, startWorker } from '../support/programs.js';
import { json, Stubs } from '../support/stubs.js';
import { HANDLERS, makeFolder } from './ledger.js';

afterEach(async () => {
  await endPrograms();
  await closeHeldSockets();
});

const CALLERS = 8;
/** Calls before the restart, and again after it. */
const CALLS = 100;
/** Callers that come while no coordinator runs. */
const LATE_CALLERS = 32;
/** What callers say whose connection was not taken; one that was may end before its call is answered. */
const REFUSED = /No connection established|ECONNREFUSED|ENOENT|EAGAIN/;
const WAIT = { timeout: 30_000 };

/** Callers that connect anew for each call, until told to leave off. */
class Callers {
  readonly taskIds: string[] = [];
  /** How calls failed that were not served at once. */
  readonly failures: FleetError[] = [];
  leaveOff = false;

  constructor(private readonly address: string) {}

  async callOnAndOn(): Promise<void> {
    while (!this.leaveOff) await this.submit();
  }

  /** Submits one task; a call that says UNAVAILABLE is made again, as callers do. */
  async submit(): Promise<void> {
    const task = { taskId: randomUUID(), type: 'echo', payload: json('x') };
    while (!(await this.#isServed(task)));
    this.taskIds.push(task.taskId);
  }

  async #isServed(task: Parameters<Stubs['submit']>[0]): Promise<boolean> {
    using stubs = new Stubs(this.address, { 'grpc.use_local_subchannel_pool': 1 });
    try {
      await stubs.submit(task);
      return true;
    } catch (error) {
      const failure = FleetError.fromStatus(error as Parameters<typeof FleetError.fromStatus>[0]);
      if (failure.code !== Code.UNAVAILABLE) throw failure;
      this.failures.push(failure);
      return false;
    }
  }
}

describe.each(['TCP', 'Unix'])('the restart of a coordinator on a %s socket that was passed to it', (kind) => {
  it('refuses no connection, serves every call, and lets what runs run on', async () => {
    await using place = await makeFolder();
    const where = kind === 'TCP' ? { host: '127.0.0.1', port: 0 } : { path: join(place.folder, 's') };
    const { address, ...held } = await HeldSocket.listen(where);
    const passed = [held.descriptor];
    const first = await readyActivated(passed, ['--store', place.store]);
    await startWorker(HANDLERS, address, ['--worker-id', 'w', '--slots', '4'], place);
    await using client = createClient({ address });
    const gate = join(place.folder, 'gate');
    const running = client.run('until-file', { path: gate });
    await place.entered(1);

    const callers = new Callers(address);
    const calling = Array.from({ length: CALLERS }, () => callers.callOnAndOn());
    await expect.poll(() => callers.taskIds.length, WAIT).toBeGreaterThan(CALLS);
    first.program.kill('SIGTERM');
    expect(await first.program.exit()).toEqual({ code: 0, signal: null });
    calling.push(...Array.from({ length: LATE_CALLERS }, () => callers.submit()));
    const { length: before } = callers.taskIds;
    await readyActivated(passed, ['--store', place.store]);
    await expect.poll(() => callers.taskIds.length, WAIT).toBeGreaterThan(before + LATE_CALLERS + CALLS);
    callers.leaveOff = true;
    await Promise.all(calling);
    expect(callers.failures.filter(({ message }) => REFUSED.test(message))).toEqual([]);

    await writeFile(gate, '');
    expect(await running).toBe(gate);
    for (const taskId of callers.taskIds) expect(await client.result(taskId)).toBe('x');
    const entries = place.entries();
    expect(entries).toHaveLength(1 + callers.taskIds.length);
    expect(entries.filter(({ type }) => type === 'until-file')).toMatchObject([{ attempt: 1 }]);
  });
});
