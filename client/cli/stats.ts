import { toJsonString } from '@bufbuild/protobuf';
import type { Command } from 'commander';
import {
  FleetService,
  GetFleetStatsResponseSchema,
  type GetFleetStatsResponse,
} from '../../proto/gen/remuda/v1/fleet_service_pb.js';
import type { CliContext } from './cli-context.js';
import { addressOf, withChannel } from './connection.js';
import { renderFields, renderTable } from './table.js';
import { time } from './task-text.js';
import { printable } from './terminal.js';

const EXAMPLES = `
Examples:
  remuda stats
  remuda stats --json`;

/** Adds `remuda stats`. */
export function addStatsCommand(program: Command, context: CliContext): void {
  program
    .command('stats')
    .summary('count tasks, workers and slots')
    .description('Counts tasks, workers and slots, and what has happened since the coordinator started.')
    .option('--json', 'the whole answer as JSON (remuda.v1.GetFleetStatsResponse)')
    .addHelpText('after', EXAMPLES)
    .action(async ({ json }: { readonly json?: true }, command: Command) => {
      const response = await withChannel(addressOf(command, context.env), (channel) =>
        channel.call(FleetService.method.getFleetStats, {}),
      );
      const { terminal } = context;
      terminal.out(
        json === undefined
          ? statsText(response, terminal.isInteractive)
          : `${toJsonString(GetFleetStatsResponseSchema, response, { prettySpaces: 2 })}\n`,
      );
    });
}

/** The counts for a person to read. */
export function statsText(
  { version, startTime, tasks, workers, totals, types }: GetFleetStatsResponse,
  borders: boolean,
): string {
  const fields: [string, string][] = [
    ['coordinator', `${printable(version)}, started ${time(startTime)}`],
    [
      'tasks now',
      `${tasks?.queuedCount ?? 0} queued, ${tasks?.scheduledCount ?? 0} scheduled, ${tasks?.runningCount ?? 0} running`,
    ],
    [
      'workers now',
      `${workers?.readyCount ?? 0} ready, ${workers?.suspectCount ?? 0} suspect, ${workers?.drainingCount ?? 0} draining, ` +
        `${workers?.disconnectedCount ?? 0} disconnected`,
    ],
    ['slots', `${workers?.slotUsedCount ?? 0} of ${workers?.slotCount ?? 0} in use`],
  ];
  if (totals !== undefined) {
    fields.push(
      [
        'since start',
        `${totals.submittedCount} submitted, ${totals.assignedCount} handed out, ${totals.succeededCount} succeeded, ` +
          `${totals.deadLetteredCount} dead letters, ${totals.cancelledCount} cancelled, ${totals.expiredCount} expired`,
      ],
      [
        'attempts',
        `${totals.failureCount} failures, ${totals.crashCount} crashes, ${totals.releaseCount} given back; ` +
          `${totals.workerLostCount} workers lost, ${totals.reportRefusedCount} late reports refused`,
      ],
      ['reuse rate', totals.reuseRate.toFixed(3)],
    );
  }
  if (types.length === 0) return renderFields(fields);
  const rows = types.map(({ type, tasks: counts, readyWorkerCount }) => [
    printable(type),
    ...[counts?.queuedCount, counts?.scheduledCount, counts?.runningCount, readyWorkerCount].map((count) =>
      String(count ?? 0),
    ),
  ]);
  const head = ['TYPE', 'QUEUED', 'SCHEDULED', 'RUNNING', 'WORKERS'];
  return `${renderFields(fields)}\n${renderTable(head, rows, { borders, right: head.slice(1) })}`;
}
