import { create } from '@bufbuild/protobuf';
import type { Command } from 'commander';
import ms from 'ms';
import {
  FleetService,
  ListWorkersResponseSchema,
  WorkerState,
  type ListWorkersResponse,
  type Worker,
} from '../../proto/gen/remuda/v1/fleet_service_pb.js';
import type { RpcChannel } from '../rpc.js';
import { answerJson } from './answer-json.js';
import type { CliContext } from './cli-context.js';
import { addressOf, withChannel } from './connection.js';
import { enumName } from './enum-name.js';
import { readPages } from './pages.js';
import { lookOf, renderTable, type TableLook } from './table.js';
import { age } from './task-text.js';
import { printable, type Style } from './terminal.js';

/** More than a coordinator takes. */
const WORKERS_MAX = 100_000;

const EXAMPLES = `
Examples:
  remuda workers
  remuda workers --json`;

/** Adds `remuda workers`. */
export function addWorkersCommand(program: Command, context: CliContext): void {
  program
    .command('workers')
    .summary('list the workers')
    .description('Lists the workers that are connected, or that may come back to what they hold.')
    .option('--json', 'the whole answer as JSON (remuda.v1.ListWorkersResponse, all pages in one)')
    .addHelpText('after', EXAMPLES)
    .action(async ({ json }: { readonly json?: true }, command: Command) => {
      const response = await withChannel(addressOf(command, context.env), listWorkers);
      const { terminal, clock } = context;
      if (json !== undefined) {
        terminal.out(answerJson(ListWorkersResponseSchema, response));
        return;
      }
      if (response.workers.length === 0) {
        terminal.note('no workers; start one with: remuda-worker HANDLERS, or `remuda dev` for all in one');
      }
      terminal.out(workersText(response.workers, lookOf(terminal), clock.wallMs()));
    });
}

/** All workers, page after page. */
export async function listWorkers(channel: RpcChannel): Promise<ListWorkersResponse> {
  const { items, nextPageToken } = await readPages<Worker>(async (pageSize, pageToken) => {
    const answer = await channel.call(FleetService.method.listWorkers, { pageSize, pageToken });
    return { items: answer.workers, nextPageToken: answer.nextPageToken };
  }, WORKERS_MAX);
  return create(ListWorkersResponseSchema, { workers: items, nextPageToken });
}

/** Workers as a table. `nowMs`: for how long they have been connected, in milliseconds since 1970. */
export function workersText(workers: readonly Worker[], look: TableLook, nowMs: number): string {
  const head = ['WORKER', 'STATE', 'SLOTS', 'DONE', 'LAG', 'UP', 'HOST', 'PID', 'TYPES'];
  const rows = workers.map((worker) => [
    printable(worker.workerId),
    enumName(WorkerState, worker.state),
    `${worker.slotUsedCount}/${worker.slotCount}`,
    String(worker.attemptDoneCount),
    worker.heartbeat === undefined ? '-' : ms(worker.heartbeat.handlerLoopLagMs),
    age(worker.connectTime, nowMs),
    printable(worker.host),
    String(worker.pid),
    typesText(worker),
  ]);
  return renderTable(head, rows, {
    ...look,
    right: ['SLOTS', 'DONE', 'LAG', 'UP', 'PID'],
    cut: ['TYPES', 'HOST', 'WORKER'],
    drop: ['PID', 'HOST', 'TYPES'],
    styleOf: (column, value) => (column === 'STATE' ? STATE_STYLES[value] : undefined),
  });
}

const STATE_STYLES: Readonly<Record<string, Style>> = {
  READY: 'green',
  SUSPECT: 'red',
  DRAINING: 'yellow',
  DISCONNECTED: 'red',
};

const TYPES_SHOWN_MAX = 6;

function typesText({ taskTypes }: Worker): string {
  const shown = taskTypes.slice(0, TYPES_SHOWN_MAX).map(({ type }) => printable(type));
  const more = taskTypes.length - shown.length;
  return more > 0 ? `${shown.join(' ')} and ${more} more` : shown.join(' ');
}
