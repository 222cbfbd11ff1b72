import { create, toJsonString } from '@bufbuild/protobuf';
import { timestampMs, type Timestamp } from '@bufbuild/protobuf/wkt';
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
import type { CliContext } from './cli-context.js';
import { addressOf, withChannel } from './connection.js';
import { enumName } from './enum-name.js';
import { renderTable } from './table.js';
import { printable } from './terminal.js';

const PAGE_SIZE = 1_000;
/** 100,000 workers are more than a coordinator takes: a list that does not end is a bug, not a fleet. */
const PAGES_MAX = 100;

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
      const { terminal } = context;
      if (json !== undefined) {
        terminal.out(`${toJsonString(ListWorkersResponseSchema, response, { prettySpaces: 2 })}\n`);
        return;
      }
      if (response.workers.length === 0) {
        terminal.note('no workers; start one with: remuda-worker HANDLERS, or `remuda dev` for all in one');
      }
      terminal.out(workersText(response.workers, { borders: terminal.isInteractive, nowMs: Date.now() }));
    });
}

/** All workers, page after page. */
export async function listWorkers(channel: RpcChannel): Promise<ListWorkersResponse> {
  const workers: Worker[] = [];
  let pageToken = '';
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const response = await channel.call(FleetService.method.listWorkers, { pageSize: PAGE_SIZE, pageToken });
    workers.push(...response.workers);
    pageToken = response.nextPageToken;
    if (pageToken === '') break;
  }
  return create(ListWorkersResponseSchema, { workers, nextPageToken: pageToken });
}

/** Workers as a table. */
export function workersText(
  workers: readonly Worker[],
  { borders, nowMs }: { readonly borders: boolean; readonly nowMs: number },
): string {
  const head = ['WORKER', 'STATE', 'SLOTS', 'DONE', 'LAG', 'CONNECTED', 'HOST', 'PID', 'TYPES'];
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
  return renderTable(head, rows, { borders, right: ['SLOTS', 'DONE', 'LAG', 'CONNECTED', 'PID'] });
}

const TYPES_SHOWN_MAX = 6;

function typesText({ taskTypes }: Worker): string {
  const shown = taskTypes.slice(0, TYPES_SHOWN_MAX).map(({ type }) => printable(type));
  const more = taskTypes.length - shown.length;
  return more > 0 ? `${shown.join(' ')} and ${more} more` : shown.join(' ');
}

/** How long ago, by two clocks that may differ: never negative. */
function age(since: Timestamp | undefined, nowMs: number): string {
  return since === undefined ? '-' : ms(Math.max(0, nowMs - timestampMs(since)));
}
