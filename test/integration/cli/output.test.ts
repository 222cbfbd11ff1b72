import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { describe, expect, it, onTestFinished } from 'vitest';
import { TaskState, type TaskSchema } from '../../../proto/gen/remuda/v1/task_pb.js';
import { WatchTaskResponseSchema } from '../../../proto/gen/remuda/v1/task_service_pb.js';
import { Program, ROOT } from '../../support/programs.js';
import { CannedCoordinator, sentText, startRemuda, type Outcome } from './support.js';

const TASK_ID = '01976f2e-5a10-7c3e-8b52-3f2a9d1c4e60';
const SUCCEEDED = { taskId: TASK_ID, state: TaskState.SUCCEEDED };
const DEAD = { taskId: TASK_ID, state: TaskState.DEAD_LETTERED, failure: { reason: 'NO_LUCK' } };

const FULL = 'remuda: the output could not be written to stdout (ENOSPC: no space left on device, write) and is lost; ';

/** Runs `remuda` with a stdout that has no room. */
async function intoFullDevice(address: string, args: readonly string[]): Promise<Outcome> {
  const full = openSync('/dev/full', 'w');
  onTestFinished(() => closeSync(full));
  const child = spawn(process.execPath, [`${ROOT}dist/client/cli/main.js`, ...args, '--address', address], {
    stdio: ['ignore', full, 'pipe'],
  });
  const program = new Program('remuda', child);
  const { code } = await program.exit();
  return { code, stdout: '', stderr: program.stderr };
}

/** Closes the end from which stdout is read. */
async function leave({ child }: Program): Promise<void> {
  child.stdout?.destroy();
  if (child.stdout?.closed === false) await once(child.stdout, 'close', { signal: AbortSignal.timeout(20_000) });
}

/** A promise, and what fulfils it. */
function gate() {
  let open: () => void = () => undefined;
  const passed = new Promise<void>((resolve) => (open = resolve));
  return { passed, open: () => open() };
}

describe.skipIf(process.platform !== 'linux')('a stdout without room', { timeout: 60_000 }, () => {
  it('should be told in a sentence that names the task, with exit 74 for one that succeeded and 1 for one that failed', async () => {
    let task: MessageInitShape<typeof TaskSchema> = SUCCEEDED;
    const { address } = await CannedCoordinator.start({ run: () => ({ task }) });
    const see = `see it again with: remuda get ${TASK_ID} --address ${address}`;
    const submit = ['submit', 'echo', '1', '--task-id', TASK_ID];
    for (const wait of [[], ['--wait'], ['--wait', '--json']]) {
      const outcome = await intoFullDevice(address, [...submit, ...wait]);
      expect(outcome).toMatchObject({ code: 74, stderr: `${FULL}${see}` });
    }
    task = DEAD;
    const failed = await intoFullDevice(address, [...submit, '--wait', '--json']);
    expect(failed.code).toBe(1);
    expect(failed.stderr).toContain(`${FULL}${see}`);
  });

  it('should end every other command with 74, too', async () => {
    const { address } = await CannedCoordinator.start({ list: () => ({ tasks: [SUCCEEDED] }) });
    expect(await intoFullDevice(address, ['list'])).toMatchObject({
      ...{ code: 74, stderr: `${FULL}what was asked for is done all the same; make room, or write elsewhere` },
    });
  });
});

describe.skipIf(process.platform === 'win32')('a stdout that nobody reads any more', { timeout: 60_000 }, () => {
  it('should leave the exit status as it is when the task has ended', async () => {
    for (const [task, expected] of [
      [SUCCEEDED, 0],
      [DEAD, 1],
    ] as const) {
      const [asked, left] = [gate(), gate()];
      const { address } = await CannedCoordinator.start({
        run: async () => {
          asked.open();
          await left.passed;
          return { task };
        },
      });
      const program = startRemuda(address, ['submit', 'x', '--wait', '--json']);
      await asked.passed;
      await leave(program);
      left.open();
      expect((await program.exit()).code).toBe(expected);
    }
  });

  it('should leave it as it is also when it is stderr that nobody reads', async () => {
    const { address } = await CannedCoordinator.start({ run: () => ({ task: SUCCEEDED }), submit: submitWithNotice });
    const program = startRemuda(address, ['submit', 'x']);
    program.child.stderr?.destroy();
    expect(await program.exit()).toEqual({ code: 0, signal: null });
    expect(program.stdout).toBe(TASK_ID);
  });

  it('should end a watch with 74 while the task goes on, and with the status of the task when it has ended', async () => {
    for (const [state, expected] of [
      [TaskState.RUNNING, 74],
      [TaskState.SUCCEEDED, 0],
      [TaskState.DEAD_LETTERED, 1],
    ] as const) {
      const left = gate();
      const { address } = await CannedCoordinator.start({
        watch: (_request, call) => {
          const write = (shown: TaskState) =>
            call.write(create(WatchTaskResponseSchema, { task: { taskId: TASK_ID, state: shown } }));
          write(TaskState.QUEUED);
          void left.passed.then(() => write(state));
          return [];
        },
      });
      const program = startRemuda(address, ['watch', TASK_ID, '--json']);
      await program.line(() => true, 'first line');
      await leave(program);
      left.open();
      expect((await program.exit()).code).toBe(expected);
      expect(program.stderr).toBe('');
    }
  });

  it('should end --each with 74, saying what is under way, and with its own status when all has ended', async () => {
    for (const isWhole of [false, true]) {
      const third = gate();
      const { address } = await CannedCoordinator.start({
        run: async ({ task }) => {
          const text = sentText(task?.payload);
          if (text === '3') await third.passed;
          // The fourth never ends.
          return text === '4' ? new Promise(() => undefined) : { task: text === '1' ? DEAD : SUCCEEDED };
        },
      });
      const program = startRemuda(address, ['submit', 'x', '--each', '-'], { stdin: 'pipe' });
      program.child.stdin?.write(isWhole ? '1\n2\n3\n' : '1\n2\n3\n4\n');
      if (isWhole) program.child.stdin?.end();
      await program.linesThat(() => true, 2, 'two rows');
      await leave(program);
      third.open();
      expect((await program.exit()).code).toBe(isWhole ? 1 : 74);
      expect(program.stderr).toBe(
        isWhole
          ? '3 lines read, 2 succeeded, 1 failed'
          : 'stdout takes no more rows, nothing more is sent: 4 lines read, 2 succeeded, 1 failed, 1 under way, which go on; ' +
              'see them with: remuda list --type x',
      );
    }
  });

  it('should be no error of a command that has done its work', async () => {
    const { address } = await CannedCoordinator.start();
    const program = startRemuda(address, ['stats']);
    await leave(program);
    expect(await program.exit()).toEqual({ code: 0, signal: null });
  });
});

function submitWithNotice() {
  return { taskId: TASK_ID, notice: 'no worker handles this type' };
}
