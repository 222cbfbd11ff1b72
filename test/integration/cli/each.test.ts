import { execFileSync } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { status } from '@grpc/grpc-js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { FleetError } from '../../../proto/fleet-error.js';
import { TaskState } from '../../../proto/gen/remuda/v1/task_pb.js';
import { OnAbandon, type RunTaskRequest } from '../../../proto/gen/remuda/v1/task_service_pb.js';
import type { Program } from '../../support/programs.js';
import { CannedCoordinator, ended, jsonPayload, printed, remuda, sentText, stall, startRemuda } from './support.js';

interface Row {
  readonly line: number;
  readonly task_id?: string;
  readonly state?: string;
  readonly result?: unknown;
  readonly error?: { readonly reason: string; readonly message: string };
}

function rowsOf(stdout: string): Row[] {
  return stdout.split('\n').map((line) => JSON.parse(line) as Row);
}

const succeeded = ({ task }: RunTaskRequest) => ({
  task: { taskId: task?.taskId ?? '', state: TaskState.SUCCEEDED, ...(task?.payload && { result: task.payload }) },
});

/** Tasks that a coordinator keeps until the test ends each, known by their payloads. */
class HeldTasks {
  readonly held = new Map<string, () => void>();
  readonly #events = new EventEmitter();
  mostHeld = 0;

  readonly run = (request: RunTaskRequest) =>
    new Promise<ReturnType<typeof succeeded>>((resolve) => {
      const payload = sentText(request.task?.payload);
      this.held.set(payload, () => {
        this.held.delete(payload);
        resolve(succeeded(request));
      });
      this.mostHeld = Math.max(this.mostHeld, this.held.size);
      this.#events.emit('held');
    });

  async heldCount(count: number): Promise<void> {
    const signal = AbortSignal.timeout(20_000);
    while (this.held.size < count) await once(this.#events, 'held', { signal });
  }

  async succeed(payload: string): Promise<void> {
    const signal = AbortSignal.timeout(20_000);
    while (!this.held.has(payload)) await once(this.#events, 'held', { signal });
    this.held.get(payload)?.();
  }
}

/** More than lies between two processes in pipes and buffers. */
const LARGE_BYTES = 1_000_000;

const rowsPrinted = (program: Program, count: number) => program.linesThat(() => true, count, `${count} rows`);

describe('remuda submit --each', { timeout: 60_000 }, () => {
  it('should run each line and print a row for each, with its result as it came', async () => {
    const coordinator = await CannedCoordinator.start({ run: succeeded });
    const lines = '{"n":12345678901234567890}\r\n\n  \n[1,\t2]\n"last without an end"';
    const options = ['--priority', '7', '--timeout', '3s', '--label', 'a=b'];
    const { code, stdout, stderr } = await remuda(
      coordinator.address,
      ['submit', 'echo', '--each', '-', ...options],
      lines,
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain('"result":{"n":12345678901234567890}}');
    const rows = rowsOf(stdout).sort((a, b) => a.line - b.line);
    expect(rows.map(({ line, state, result }) => ({ line, state, result }))).toEqual([
      { line: 1, state: 'SUCCEEDED', result: { n: 12345678901234567890 } },
      { line: 4, state: 'SUCCEEDED', result: [1, 2] },
      { line: 5, state: 'SUCCEEDED', result: 'last without an end' },
    ]);
    const ids = coordinator.run.map(({ task }) => task?.taskId);
    expect(new Set(rows.map((row) => row.task_id))).toEqual(new Set(ids));
    for (const { task, onAbandon } of coordinator.run) {
      expect(onAbandon).toBe(OnAbandon.KEEP);
      expect(task).toMatchObject({
        type: 'echo',
        options: { priority: 7, timeout: { seconds: 3n }, requiredLabels: { a: 'b' } },
      });
    }
  });

  it('should print null for no result, one line for JSON on many, and other results as payloads', async () => {
    const results = [undefined, jsonPayload('{\n "a": "x\\ny"\r\n}'), jsonPayload('{no json'), png()];
    const coordinator = await CannedCoordinator.start({
      run: ({ task }) => {
        const result = results[Number(sentText(task?.payload))];
        return { task: { state: TaskState.SUCCEEDED, ...(result && { result }) } };
      },
    });
    const { code, stdout } = await remuda(coordinator.address, ['submit', 'x', '--each', '-'], '0\n1\n2\n3\n');
    expect(code).toBe(0);
    const rows = rowsOf(stdout).sort((a, b) => a.line - b.line);
    expect(rows.map(({ result }) => result)).toEqual([
      null,
      { a: 'x\ny' },
      { contentType: 'application/json', data: Buffer.from('{no json').toString('base64') },
      { contentType: 'image/png', data: 'AQI=' },
    ]);
  });

  it('should give malformed, long, refused and failed lines error rows, go on, and exit 1', async () => {
    const coordinator = await CannedCoordinator.start({
      run: (request) => {
        const text = sentText(request.task?.payload);
        if (text === '"refused"') throw new FleetError(status.INVALID_ARGUMENT, 'INVALID_TASK', 'type: is wrong');
        if (text !== '"fails"') return succeeded(request);
        const failure = { reason: 'NO_LUCK', message: 'none at all' };
        return { task: { state: TaskState.DEAD_LETTERED, failure } };
      },
    });
    const long = `"${'x'.repeat(1_048_576)}"`;
    const input = ['{broken', long, '"refused"', '"fails"', '"fine"'].join('\n');
    const { code, stdout, stderr } = await remuda(coordinator.address, ['submit', 'echo', '--each', '-'], input);
    expect({ code, stderr }).toEqual({ code: 1, stderr: '5 lines read, 1 succeeded, 4 failed' });
    const rows = rowsOf(stdout).sort((a, b) => a.line - b.line);
    const taskId = expect.stringMatching(/^[0-9a-f-]{36}$/) as string;
    expect(rows).toEqual([
      { line: 1, error: { reason: 'PAYLOAD_NOT_JSON', message: expect.stringContaining('line 1 is no JSON: "b"') } },
      { line: 2, error: { reason: 'PAYLOAD_TOO_LARGE', message: expect.stringContaining('line 2 has 1048579 bytes') } },
      { line: 3, task_id: taskId, error: { reason: 'INVALID_TASK', message: 'type: is wrong' } },
      { line: 4, task_id: taskId, state: 'DEAD_LETTERED', error: { reason: 'NO_LUCK', message: 'none at all' } },
      { line: 5, task_id: taskId, state: 'SUCCEEDED', result: 'fine' },
    ]);
  });

  it('should print rows in the order in which the tasks end, and have no more under way than --window', async () => {
    const tasks = new HeldTasks();
    const { address } = await CannedCoordinator.start({ run: tasks.run });
    const program = startRemuda(address, ['submit', 'x', '--each', '-', '--window', '2'], { stdin: 'pipe' });
    program.child.stdin?.end('1\n2\n3\n4\n');
    const order = ['2', '3', '1', '4'];
    for (const [index, payload] of order.entries()) {
      await tasks.heldCount(Math.min(2, order.length - index));
      await tasks.succeed(payload);
      await rowsPrinted(program, index + 1);
    }
    expect((await program.exit()).code).toBe(0);
    expect(rowsOf(program.stdout).map(({ line }) => String(line))).toEqual(order);
    expect(tasks.mostHeld).toBe(2);
  });

  it('should hold up its input instead of taking it into memory', async () => {
    const tasks = new HeldTasks();
    const { address } = await CannedCoordinator.start({ run: tasks.run });
    const program = startRemuda(address, ['submit', 'x', '--each', '-', '--window', '4'], { stdin: 'pipe' });
    const lineBytes = 65_536;
    let given = 0;
    const endless = function* () {
      for (;;) {
        given += 1;
        yield Buffer.from(`"${String(given).padEnd(lineBytes - 3, 'x')}"\n`);
      }
    };
    const fed = pipeline(Readable.from(endless(), { highWaterMark: 1 }), program.child.stdin as Writable).catch(
      () => undefined,
    );
    const ended = 100;
    for (let count = 1; count <= ended; count += 1) {
      await tasks.heldCount(4);
      await tasks.succeed(tasks.held.keys().next().value ?? '');
      await rowsPrinted(program, count);
    }
    // What is under way, and what lies in pipes and in the pieces that are read of them.
    expect(given).toBeLessThan(ended + 4 + 12);
    program.kill('SIGINT');
    expect((await program.exit()).code).toBe(130);
    await fed;
  });

  it('should go on over a restart of the coordinator, with the same ids', async () => {
    const tasks = new HeldTasks();
    const first = await CannedCoordinator.start({ run: tasks.run });
    const program = startRemuda(first.address, ['submit', 'x', '--each', '-'], { stdin: 'pipe' });
    program.child.stdin?.end('1\n2\n3\n');
    await tasks.heldCount(3);
    first.server.forceShutdown();
    await printed(program.child.stderr, 'the coordinator went away');
    const second = await CannedCoordinator.start({ run: succeeded }, first.address);
    expect((await program.exit(40_000)).code).toBe(0);
    const ids = ({ run }: CannedCoordinator) => new Set(run.map(({ task }) => task?.taskId));
    expect(ids(second)).toEqual(ids(first));
    expect(new Set(rowsOf(program.stdout).map((row) => row.task_id))).toEqual(ids(first));
    expect(program.stderr.split('\n').filter((line) => line.includes('went away'))).toHaveLength(1);
  });

  it('should try a line again that there was no room for, when the coordinator says', async () => {
    let refusals = 2;
    const { address, run } = await CannedCoordinator.start({
      run: (request) => {
        refusals -= 1;
        if (refusals < 0) return succeeded(request);
        throw new FleetError(status.RESOURCE_EXHAUSTED, 'QUEUE_FULL', 'the queue is full', { retryDelayMs: 20 });
      },
    });
    const { code, stdout } = await remuda(address, ['submit', 'x', '--each', '-'], '1\n');
    expect(code).toBe(0);
    expect(run).toHaveLength(3);
    expect(rowsOf(stdout)).toMatchObject([{ line: 1, task_id: run[0]?.task?.taskId, state: 'SUCCEEDED' }]);
  });

  it('should stop sending at Ctrl-C, say what is under way and how to see it, and exit 130', async () => {
    const tasks = new HeldTasks();
    const { address, run } = await CannedCoordinator.start({ run: tasks.run });
    const program = startRemuda(address, ['submit', 'x', '--each', '-', '--window', '2'], { stdin: 'pipe' });
    program.child.stdin?.write('1\n2\n3\n4\n');
    await tasks.succeed('1');
    await rowsPrinted(program, 1);
    await tasks.heldCount(2);
    program.kill('SIGINT');
    expect((await program.exit()).code).toBe(130);
    expect(program.stderr).toContain('2 under way, which go on; see them with: remuda list --type x');
    const rows = rowsOf(program.stdout);
    const sent = new Set(run.map(({ task }) => task?.taskId));
    expect(new Set(rows.map((row) => row.task_id))).toEqual(sent);
    expect(rows.map(({ line, error }) => [line, error?.reason])).toEqual([
      [1, undefined],
      [2, 'NOT_AWAITED'],
      [3, 'NOT_AWAITED'],
    ]);
  });

  it.skipIf(process.platform === 'win32')(
    'should end at Ctrl-C and at --wait-timeout while nobody reads the rows',
    async () => {
      for (const [options, code] of [
        [[], 130],
        [['--wait-timeout', '2s'], 4],
      ] as const) {
        const tasks = new HeldTasks();
        const { address } = await CannedCoordinator.start({ run: tasks.run });
        const args = ['submit', 'x', '--each', '-', '--window', '1', ...options];
        const program = startRemuda(address, args, { stdin: 'pipe' });
        const lines = ['a', 'b', 'c'].map((letter) => `"${letter.repeat(LARGE_BYTES)}"`);
        program.child.stdin?.on('error', () => undefined).write(`${lines.join('\n')}\n`);
        const stalled = stall(program);
        await tasks.succeed(lines[0] ?? '');
        await stalled;
        // The second is sent when the row of the first has been written, and then the input waits for the reader.
        await tasks.heldCount(1);
        if (code === 130) program.kill('SIGINT');
        expect(await ended(program)).toBe(code);
      }
    },
  );

  it.skipIf(process.platform === 'win32')(
    'should read a FIFO, and not wait for its writer beyond --wait-timeout',
    async () => {
      const folder = mkdtempSync(join(tmpdir(), 'remuda-cli-'));
      onTestFinished(() => rmSync(folder, { recursive: true }));
      const fifo = join(folder, 'lines');
      execFileSync('mkfifo', [fifo]);
      const { address } = await CannedCoordinator.start({ run: succeeded });
      const nobody = await remuda(address, ['submit', 'x', '--each', fifo, '--wait-timeout', '300ms']);
      expect(nobody).toMatchObject({ code: 4, stdout: '' });
      const program = startRemuda(address, ['submit', 'x', '--each', fifo]);
      const writer = await open(fifo, 'w');
      await writer.write('1\n');
      await rowsPrinted(program, 1);
      await writer.write('2\n');
      await writer.close();
      expect((await program.exit()).code).toBe(0);
      expect(rowsOf(program.stdout).map(({ result }) => result)).toEqual([1, 2]);
    },
  );

  it('should stop waiting after --wait-timeout with exit 4', async () => {
    const tasks = new HeldTasks();
    const { address } = await CannedCoordinator.start({ run: tasks.run });
    const args = ['submit', 'x', '--each', '-', '--wait-timeout', '300ms'];
    const { code, stderr } = await remuda(address, args, '1\n');
    expect(code).toBe(4);
    expect(stderr).toContain('not all have ended within 300ms, nothing more is sent');
  });

  it('should exit 3 without a row when nobody answers, and 2 for a file that is not there or a directory', async () => {
    const { address, server } = await CannedCoordinator.start();
    for (const file of ['does-not-exist.ndjson', '.']) {
      const { code, stdout, stderr } = await remuda(address, ['submit', 'x', '--each', file]);
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
      expect(stderr).toContain(`the lines cannot be read from ${file}: `);
    }
    server.forceShutdown();
    const nobody = await remuda(address, ['submit', 'x', '--each', '-'], '1\n');
    expect(nobody).toMatchObject({ code: 3, stdout: '' });
    expect(nobody.stderr).toContain(`no coordinator answers at ${address}`);
  });

  it('should read a file, and submit nothing of an empty one', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'remuda-cli-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const { address, run } = await CannedCoordinator.start({ run: succeeded });
    const file = join(folder, 'lines.ndjson');
    writeFileSync(file, '');
    expect(await remuda(address, ['submit', 'x', '--each', file])).toEqual({ code: 0, stdout: '', stderr: '' });
    writeFileSync(file, '\uFEFF1\n2\n');
    expect((await remuda(address, ['submit', 'x', '--each', file])).code).toBe(0);
    expect(run.map(({ task }) => sentText(task?.payload)).sort()).toEqual(['1', '2']);
  });

  it.each([
    [['x', '{}', '--each', '-'], 'leave the PAYLOAD argument out'],
    [['x', '--each', '-', '--json'], 'leave --json out'],
    [['x', '--each', '-', '--task-id', '01976f2e-5a10-7c3e-8b52-3f2a9d1c4e60'], '--task-id names one task'],
    [['x', '--each', '-', '--window', '0'], '--window is "0". It must be a whole number from 1 to 4096'],
    [['x', '--window', '5'], 'add --each FILE'],
  ])('should exit 2 for %j', async (args, said) => {
    const { code, stderr } = await remuda(undefined, ['submit', ...args]);
    expect(code).toBe(2);
    expect(stderr).toContain(said);
  });
});

function png() {
  return { contentType: 'image/png', body: { case: 'data' as const, value: Uint8Array.of(1, 2) } };
}
