import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import { AttemptState } from '../../../proto/gen/remuda/v1/fleet_service_pb.js';
import { TaskState } from '../../../proto/gen/remuda/v1/task_pb.js';
import { HANDLERS, makeFolder } from '../../e2e/ledger.js';
import { NotifyProgram, type Notice } from '../../support/notify-program.js';
import { endPrograms, startCoordinator, startProgram, startWorker, type Program } from '../../support/programs.js';
import { json, Stubs } from '../../support/stubs.js';

afterEach(endPrograms);

/** Leases that no test outlasts: only somebody's word can free a task. */
const LONG_LEASE = ['--heartbeat-interval', '5m', '--lease', '10m'];

const says =
  (text: string, key = 'STATUS') =>
  (notice: Notice): boolean =>
    notice[key]?.includes(text) === true;

/** Process ids of a supervisor's children, in the order of their start. */
const childPids = (program: Program): number[] =>
  program.lines
    .filter(({ json: line }) => line?.['msg'] === 'child started')
    .map(({ json: line }) => Number(line?.['child_pid']));

describe('remuda-coordinator as a service', () => {
  it('should be ready when it serves, give signs of life, and say that it stops', async () => {
    using notify = new NotifyProgram();
    await using place = await makeFolder();
    const { program, address } = await startCoordinator(['--store', place.store], { env: notify.env(900) });
    await notify.notice(({ READY }) => READY === '1', 'readiness');
    await startWorker(HANDLERS, address, [], place);
    await notify.notice((notice) => notice['WATCHDOG'] === '1' && says('workers: 1 ready')(notice), 'a ready worker');
    program.kill('SIGTERM');
    expect(await program.exit()).toMatchObject({ code: 0 });
    const { notices } = notify;
    expect(notices[0]).toEqual({ STATUS: 'opening the store' });
    expect(notices.findIndex(({ READY }) => READY === '1')).toBe(1);
    expect(notices[1]?.['STATUS']).toBe(
      `serving on ${address}; workers: 0 ready; tasks: 0 queued, 0 running; 0 dead letters`,
    );
    expect(notices.some(({ STOPPING }) => STOPPING === '1')).toBe(true);
    expect(notices.at(-1)?.['STATUS']).toBe('stopped');
  });

  it('should say that it refuses new tasks, and why', async () => {
    using notify = new NotifyProgram();
    const args = ['--max-store-bytes', String(16 * 1_048_576)];
    const { address } = await startCoordinator(args, { env: notify.env(900) });
    using stubs = new Stubs(address);
    const payload = json('x'.repeat(1_000_000));
    const fill = async (): Promise<never> => {
      for (;;) await stubs.submit({ type: 'nobody', payload });
    };
    await expect(fill()).rejects.toMatchObject({ code: status.RESOURCE_EXHAUSTED });
    await notify.notice(says('; new tasks are refused: the store is full'), 'the refusal');
  });

  it('should leave behind why it could not start', async () => {
    using notify = new NotifyProgram();
    const { address } = await startCoordinator();
    const second = startProgram('coordinator', ['--listen', address, '--http', 'off', '--store', 'memory:'], {
      env: notify.env(),
    });
    expect(await second.exit()).toMatchObject({ code: 1 });
    expect(notify.notices.at(-1)?.['STATUS']).toMatch(
      /^cannot start: cannot listen on .* another process listens there/,
    );
    expect(notify.notices.some(({ READY }) => READY === '1')).toBe(false);
  });
});

describe('remuda-worker as a service', () => {
  for (const processes of [[], ['--processes', '2']]) {
    it(`should be ready at the first welcome, and live on without a coordinator (${processes.join(' ') || 'itself'})`, async () => {
      using notify = new NotifyProgram();
      await using place = await makeFolder();
      const first = await startCoordinator(['--store', place.store]);
      first.program.kill('SIGTERM');
      await first.program.exit();
      const { address } = first;
      const worker = startProgram('worker', [HANDLERS, '--address', address, '--worker-id', 'w', ...processes], {
        env: { ...place.env, ...notify.env(900) },
      });
      await notify.notice(says(`waiting for coordinator at ${address} (connect ECONNREFUSED`), 'waiting');
      expect(notify.notices.some(({ READY }) => READY === '1')).toBe(false);
      const second = await startCoordinator(['--store', place.store, '--listen', address]);
      await notify.notice((notice) => notice['READY'] === '1' && says(`connected to ${address}`)(notice), 'readiness');
      second.program.kill('SIGKILL');
      await notify.notice((notice) => notice['WATCHDOG'] === '1' && says('waiting for')(notice), 'life without it');
      worker.kill('SIGTERM');
      expect(await worker.exit()).toMatchObject({ code: 0 });
      expect(notify.notices.find(({ STOPPING }) => STOPPING === '1')?.['STATUS']).toMatch(/^draining: 0 tasks running/);
      expect(notify.notices.filter(({ READY }) => READY === '1')).toHaveLength(1);
      expect(notify.notices.at(-1)?.['STATUS']).toMatch(/left$/);
    });
  }

  it('should move the time-out of its stop ahead while it drains', async () => {
    using notify = new NotifyProgram();
    await using place = await makeFolder();
    const { address } = await startCoordinator(LONG_LEASE);
    const worker = await startWorker(HANDLERS, address, ['--worker-id', 'w', '--processes', '1'], {
      env: { ...place.env, ...notify.env(900) },
    });
    using stubs = new Stubs(address);
    const running = stubs.run({ task: { type: 'sleep', payload: json({ ms: 2_500 }) } });
    await place.entered(1);
    worker.kill('SIGTERM');
    await notify.notice(
      (notice) => notice['WATCHDOG'] === '1' && Number(notice['EXTEND_TIMEOUT_USEC']) >= 15_000_000,
      'a drain that makes progress',
    );
    expect((await running).task).toMatchObject({ state: TaskState.SUCCEEDED, attempt: 1 });
    expect(await worker.exit()).toMatchObject({ code: 0 });
    expect(notify.notices.some(says('draining: 0 tasks running, 1 ended, 1 of 1 process left'))).toBe(true);
  });

  it('should replace one process that stands still, and no other, at no charge of a lease', async () => {
    using notify = new NotifyProgram();
    await using place = await makeFolder();
    const { address } = await startCoordinator(LONG_LEASE);
    const worker = await startWorker(HANDLERS, address, ['--worker-id', 'w', '--processes', '1'], {
      env: { ...place.env, ...notify.env(2_000) },
    });
    using stubs = new Stubs(address);
    const running = stubs.run({ task: { type: 'hang-once', payload: json(null) } });
    await place.entered(1);
    const [victim] = childPids(worker);
    process.kill(victim!, 'SIGSTOP');
    await worker.line(({ json: line }) => line?.['msg'] === 'child gives no sign of life: SIGKILL', 'the kill');
    expect((await running).task).toMatchObject({ state: TaskState.SUCCEEDED, attempt: 2 });
    expect(place.entries().map(({ pid }) => pid)).toEqual(childPids(worker));
    await notify.notice(says('1 restart'), 'the restart');
  });

  it('should not end with what a process said that was started again since', async () => {
    using notify = new NotifyProgram();
    await using place = await makeFolder();
    const handlers = join(place.folder, 'boom.mjs');
    const boom = "setImmediate(() => { throw new Error('boom'); }); return new Promise(() => {});";
    writeFileSync(handlers, `export default { boom: () => { ${boom} } };`);
    const { address } = await startCoordinator();
    const env = notify.env(30_000);
    const worker = await startWorker(handlers, address, ['--worker-id', 'w', '--processes', '1'], { env });
    using stubs = new Stubs(address);
    await stubs.run({ task: { type: 'boom', options: { retryPolicy: { maxAttempts: 1 } } } });
    await worker.linesThat(({ json: line }) => line?.['msg'] === 'child ready', 2, 'second ready child');
    worker.kill('SIGTERM');
    expect(await worker.exit()).toMatchObject({ code: 0 });
    expect(worker.lines.some(({ json: line }) => String(line?.['said']).includes('boom'))).toBe(true);
    expect(notify.notices.at(-1)?.['STATUS']).toBe('all processes have left');
  });

  for (const processes of [[], ['--processes', '1']]) {
    it(`should name at its next start what ended with it by kill -9 (${processes.join(' ') || 'itself'})`, async () => {
      await using place = await makeFolder();
      const { address } = await startCoordinator(LONG_LEASE);
      const args = ['--worker-id', 'w', ...processes];
      const options = { env: { ...place.env, RUNTIME_DIRECTORY: place.folder } };
      const first = await startWorker(HANDLERS, address, args, options);
      using stubs = new Stubs(address);
      const running = stubs.run({ task: { type: 'hang-once', payload: json(null) } });
      await place.entered(1);
      await expect.poll(async () => (await stubs.workers())[0]?.attempts[0]?.state).toBe(AttemptState.STARTED);
      // As systemd does: the main process, and what is left of the unit.
      for (const pid of [first.pid, ...childPids(first)]) process.kill(pid, 'SIGKILL');
      await first.exit();
      await startWorker(HANDLERS, address, args, options);
      expect((await running).task).toMatchObject({ state: TaskState.SUCCEEDED, attempt: 2, crashCount: 1 });
      const file = join(place.folder, `incarnations-${processes.length === 0 ? 'own' : '0'}.json`);
      // The coordinator knows them now.
      await expect.poll(() => (JSON.parse(readFileSync(file, 'utf8')) as unknown[]).length).toBe(1);
    });
  }

  it.runIf(process.platform === 'linux')('should let none of its processes speak in its name', async () => {
    using notify = new NotifyProgram();
    await using place = await makeFolder();
    const { address } = await startCoordinator();
    const env = { ...place.env, ...notify.env(30_000) };
    const worker = await startWorker(HANDLERS, address, ['--worker-id', 'w', '--processes', '1'], { env });
    const environment = readFileSync(`/proc/${childPids(worker)[0]}/environ`, 'utf8');
    expect(environment).toContain('E2E_LEDGER');
    expect(environment).not.toMatch(/NOTIFY_SOCKET|WATCHDOG_/);
  });
});
