import type { Command } from 'commander';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { DAY_MS } from '../../proto/bounds.js';
import {
  DrainWorkersResponseSchema,
  FleetService,
  type DrainWorkersResponse,
} from '../../proto/gen/remuda/v1/fleet_service_pb.js';
import type { RpcChannel } from '../rpc.js';
import { Absence } from './absence.js';
import { answerJson } from './answer-json.js';
import type { CliContext } from './cli-context.js';
import { addressOf, commandLine, withChannel } from './connection.js';
import { EXIT } from './exit-status.js';
import { durationReader, readWorkerPattern } from './option-values.js';
import { lookOf, renderTable } from './table.js';
import { exactTime } from './task-text.js';
import { printable } from './terminal.js';

interface DrainOptions {
  readonly wait?: true;
  readonly waitTimeout?: number;
  readonly json?: true;
}

/** The coordinator is asked to wait so long at a time; then we say who is still busy, and ask again. */
const WAIT_STEP_MS = 5_000;
/** What an answer may take beyond the time that the coordinator waits. */
const ANSWER_MS = 10_000;

const EXAMPLES = `
A pattern is a worker_id in which * stands for any characters. The drain is held by
the coordinator: it outlives restarts and also holds for workers that come later,
until \`remuda resume\` gives it up.

Examples:
  remuda drain 'host-1/*'
  remuda drain 'host-1/*' 'host-2/*' --wait --wait-timeout 10m
  remuda drain '*' --json

Exit status: 4 if some still run tasks after --wait-timeout; the drain stays.`;

/** Adds `remuda drain`. */
export function addDrainCommand(program: Command, context: CliContext): void {
  program
    .command('drain')
    .summary('give workers nothing new; what they run goes on')
    .description('Takes workers out of work: they get nothing new, and what they run goes on.')
    .argument('<PATTERN...>', 'worker ids, or patterns of them', readWorkerPattern)
    .option('--wait', 'wait until the workers that fit are idle')
    .option(
      '--wait-timeout <TIME>',
      'stop waiting after this time, such as 10m; the drain stays (default: wait until idle)',
      durationReader(1, DAY_MS),
    )
    .option('--json', 'the whole answer as JSON (remuda.v1.DrainWorkersResponse)')
    .addHelpText('after', EXAMPLES)
    .hook('preAction', (command) => {
      const { wait, waitTimeout } = command.opts<DrainOptions>();
      if (waitTimeout !== undefined && wait === undefined) {
        context.faults.add('--wait-timeout says how long to wait, and nothing waits without --wait; add --wait.');
      }
    })
    .action(async (workerPatterns: readonly string[], options: DrainOptions, command: Command) => {
      context.exitCode = await withChannel(addressOf(command, context.env), (channel) =>
        drain({ channel, workerPatterns, options, command, context }),
      );
    });
}

interface DrainRequest {
  readonly channel: RpcChannel;
  readonly workerPatterns: readonly string[];
  readonly options: DrainOptions;
  readonly command: Command;
  readonly context: CliContext;
}

async function drain(request: DrainRequest): Promise<number> {
  const { channel, workerPatterns, options, command, context } = request;
  const { terminal } = context;
  if (options.wait === undefined) {
    const answer = await channel.call(FleetService.method.drainWorkers, { workerPatterns: [...workerPatterns] });
    tellDrained(request, answer);
    if (answer.busyWorkerCount > 0 && options.json === undefined) terminal.note(busyText(answer));
    return EXIT.done;
  }
  const stop = new AbortController();
  const offInterrupt = context.onInterrupt(() => stop.abort());
  try {
    const answer = await waitUntilIdle(request, stop.signal);
    tellDrained(request, answer);
    if (answer.busyWorkerCount === 0) return EXIT.done;
    const within = exactTime(options.waitTimeout ?? 0);
    terminal.note(`not all are idle within ${within}: ${busyText(answer)}; the drain stays`);
    return EXIT.timedOut;
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    const resume = commandLine(`resume ${workerPatterns.map((pattern) => `'${pattern}'`).join(' ')}`, command);
    terminal.note(`no longer waiting; the drain stays, give it up with: ${resume}`);
    return EXIT.interrupted;
  } finally {
    offInterrupt();
  }
}

/** The answer after which all are idle, or the last one in time. */
async function waitUntilIdle(request: DrainRequest, signal: AbortSignal): Promise<DrainWorkersResponse> {
  const { channel, workerPatterns, options, context } = request;
  const { terminal, clock } = context;
  const endMs = clock.monoMs() + (options.waitTimeout ?? Infinity);
  const absence = new Absence(clock, () =>
    terminal.note('the coordinator went away; waiting for it to come back (it keeps the drain)'),
  );
  let told = '';
  for (;;) {
    const waitMs = Math.ceil(Math.max(0, Math.min(WAIT_STEP_MS, endMs - clock.monoMs())));
    try {
      const answer = await channel.call(
        FleetService.method.drainWorkers,
        { workerPatterns: [...workerPatterns], waitTimeout: durationFromMs(waitMs) },
        { timeoutMs: waitMs + ANSWER_MS, signal },
      );
      absence.answered();
      if (answer.busyWorkerCount === 0 || clock.monoMs() >= endMs) return answer;
      const busy = busyText(answer);
      if (busy !== told) terminal.note(busy);
      told = busy;
    } catch (error) {
      await absence.bear(error, signal);
    }
  }
}

function tellDrained({ options, context }: DrainRequest, answer: DrainWorkersResponse): void {
  const { terminal } = context;
  if (options.json !== undefined) {
    terminal.out(answerJson(DrainWorkersResponseSchema, answer));
    return;
  }
  if (answer.workerCount === 0) terminal.note('no worker here fits; the drain holds for those that come');
  const rows = answer.workers.map(({ workerId, attemptCount }) => [printable(workerId), String(attemptCount)]);
  terminal.out(renderTable(['WORKER', 'RUNNING'], rows, { ...lookOf(terminal), right: ['RUNNING'], cut: ['WORKER'] }));
  const more = answer.workerCount - answer.workers.length;
  if (more > 0) terminal.note(`and ${more} more`);
}

function busyText({ workers, workerCount, busyWorkerCount }: DrainWorkersResponse): string {
  const attempts = workers.reduce((sum, { attemptCount }) => sum + attemptCount, 0);
  return `${busyWorkerCount} of ${workerCount} still busy, with ${attempts} running`;
}
