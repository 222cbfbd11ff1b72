import { create } from '@bufbuild/protobuf';
import type { Command } from 'commander';
import { FleetService, ListQueuesResponseSchema, type Queue } from '../../proto/gen/remuda/v1/fleet_service_pb.js';
import { answerJson } from './answer-json.js';
import type { CliContext } from './cli-context.js';
import { addressOf, withChannel } from './connection.js';
import { readPages } from './pages.js';
import { lookOf, renderTable, type TableLook } from './table.js';
import { age } from './task-text.js';
import { printable } from './terminal.js';

/** More types than a fleet has. */
const QUEUES_MAX = 100_000;

const EXAMPLES = `
OLDEST: how long the task that waits longest has been waiting for a worker.
FREE: how many tasks of the type could be started now.

Examples:
  remuda queues
  remuda queues --json`;

/** Adds `remuda queues`. */
export function addQueuesCommand(program: Command, context: CliContext): void {
  program
    .command('queues')
    .summary('list the task types: what waits, who can run it')
    .description('Lists the task types that have tasks or workers: what waits, and who could run it.')
    .option('--json', 'the whole answer as JSON (remuda.v1.ListQueuesResponse, all pages in one)')
    .addHelpText('after', EXAMPLES)
    .action(async ({ json }: { readonly json?: true }, command: Command) => {
      const { terminal, clock } = context;
      const { items: queues, nextPageToken } = await withChannel(addressOf(command, context.env), (channel) =>
        readPages<Queue>(async (pageSize, pageToken) => {
          const answer = await channel.call(FleetService.method.listQueues, { pageSize, pageToken });
          return { items: answer.queues, nextPageToken: answer.nextPageToken };
        }, QUEUES_MAX),
      );
      if (json !== undefined) {
        terminal.out(answerJson(ListQueuesResponseSchema, create(ListQueuesResponseSchema, { queues, nextPageToken })));
        return;
      }
      if (queues.length === 0) terminal.note('no tasks, and no workers that could run any');
      terminal.out(queuesText(queues, lookOf(terminal), clock.wallMs()));
    });
}

/** Queues as a table. `nowMs`: for how long their tasks wait, in milliseconds since 1970. */
function queuesText(queues: readonly Queue[], look: TableLook, nowMs: number): string {
  const head = ['TYPE', 'QUEUED', 'SCHEDULED', 'RUNNING', 'OLDEST', 'WORKERS', 'SLOTS', 'FREE'];
  const rows = queues.map(({ type, tasks, oldestReadyTime, readyWorkerCount, slotCount, slotFreeCount }) => [
    printable(type),
    String(tasks?.queuedCount ?? 0),
    String(tasks?.scheduledCount ?? 0),
    String(tasks?.runningCount ?? 0),
    age(oldestReadyTime, nowMs),
    String(readyWorkerCount),
    String(slotCount),
    String(slotFreeCount),
  ]);
  // Tasks without a worker are what this list is looked at for.
  const styleOf = (column: string, value: string) => (column === 'WORKERS' && value === '0' ? 'yellow' : undefined);
  return renderTable(head, rows, {
    ...look,
    right: head.slice(1),
    cut: ['TYPE'],
    drop: ['SLOTS', 'SCHEDULED'],
    styleOf,
  });
}
