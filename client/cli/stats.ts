import type { Command } from 'commander';
import ms from 'ms';
import {
  FleetService,
  GetFleetStatsResponseSchema,
  type FleetTotals,
  type GetFleetStatsResponse,
  type StoreCounts,
} from '../../proto/gen/remuda/v1/fleet_service_pb.js';
import { answerJson } from './answer-json.js';
import type { CliContext } from './cli-context.js';
import { addressOf, withChannel } from './connection.js';
import { drainsText } from './drains-text.js';
import { lookOf, renderFields, renderTable, type TableLook } from './table.js';
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
      const { terminal, clock } = context;
      terminal.out(
        json === undefined
          ? statsText(response, lookOf(terminal), clock.wallMs())
          : answerJson(GetFleetStatsResponseSchema, response),
      );
    });
}

/** The counts for a person to read. `nowMs`: for how long drains have been held, in milliseconds since 1970. */
export function statsText(stats: GetFleetStatsResponse, look: TableLook, nowMs: number): string {
  const { types, drains } = stats;
  const parts = [renderFields(countFields(stats))];
  if (types.length > 0) {
    const rows = types.map(({ type, tasks: counts, readyWorkerCount }) => [
      printable(type),
      ...[counts?.queuedCount, counts?.scheduledCount, counts?.runningCount, readyWorkerCount].map((count) =>
        String(count ?? 0),
      ),
    ]);
    const head = ['TYPE', 'QUEUED', 'SCHEDULED', 'RUNNING', 'WORKERS'];
    parts.push(renderTable(head, rows, { ...look, right: head.slice(1), cut: ['TYPE'] }));
  }
  if (drains.length > 0) parts.push(drainsText(drains, look, nowMs));
  return parts.join('\n');
}

function countFields({
  version,
  startTime,
  tasks,
  workers,
  attempts,
  totals,
  store,
}: GetFleetStatsResponse): [string, string][] {
  const fields: [string, string][] = [
    ['coordinator', `${printable(version)}, started ${time(startTime)}`],
    [
      'tasks now',
      `${tasks?.queuedCount ?? 0} queued, ${tasks?.scheduledCount ?? 0} scheduled, ${tasks?.runningCount ?? 0} running`,
    ],
    ['workers now', `${workers?.readyCount ?? 0} ready, ${workers?.suspectCount ?? 0} suspect`],
    ['', `${workers?.drainingCount ?? 0} draining, ${workers?.disconnectedCount ?? 0} disconnected`],
    ['slots', `${workers?.slotUsedCount ?? 0} of ${workers?.slotCount ?? 0} in use`],
  ];
  const stuck = attempts?.abandonedCount ?? 0;
  if (stuck > 0) fields.push(['', `${stuck} by attempts that do not stop (see: remuda workers)`]);
  if (store !== undefined) {
    const { endedCount, deadLetterCount, usedBytes, limitBytes } = store;
    fields.push(
      ['kept', `${endedCount} ended, of these ${deadLetterCount} dead letters`],
      ['store', `${bytesText(usedBytes)}${limitBytes > 0n ? ` of ${bytesText(limitBytes)}` : ''}`],
    );
    const disk = diskText(store);
    if (disk !== undefined) fields.push(['disk', disk]);
  }
  if (totals === undefined) return fields;
  const { submittedCount, assignedCount, succeededCount, deadLetteredCount, cancelledCount, expiredCount } = totals;
  const { failureCount, crashCount, releaseCount, retryCount, refundCount, reportRefusedCount, reuseRate } = totals;
  const { workerLostCount, zombieCount, workerSuspectCount, workerReturnCount, workerSupersededCount } = totals;
  return [
    ...fields,
    ['since start', `${submittedCount} submitted, ${assignedCount} handed out, ${succeededCount} succeeded`],
    ['', `${deadLetteredCount} dead letters, ${cancelledCount} cancelled, ${expiredCount} expired`],
    ['attempts', `${failureCount} failures, ${crashCount} crashes, ${releaseCount} given back, ${retryCount} retries`],
    ['', `${refundCount} late reports counted, ${reportRefusedCount} refused`],
    ['workers', `${workerLostCount} lost, of these ${zombieCount} zombies; ${workerReturnCount} came back`],
    ['', `${workerSuspectCount} times suspect, ${workerSupersededCount} superseded`],
    ...stallField(totals),
    ['reuse rate', reuseRate.toFixed(3)],
  ];
}

/** Undefined: the store is on none, or that does not tell. */
function diskText({ freeBytes, reusableBytes = 0n, minFreeBytes = 0n }: StoreCounts): string | undefined {
  if (freeBytes === undefined) return undefined;
  const isLow = freeBytes + reusableBytes < minFreeBytes || freeBytes * 4n < minFreeBytes;
  const inStore = reusableBytes > 0n ? ` and ${bytesText(reusableBytes)} in the store` : '';
  const refused = isLow ? ': new tasks are refused' : '';
  return `${bytesText(freeBytes)} free${inStore}, ${bytesText(minFreeBytes)} left to what runs${refused}`;
}

/** Only if there is something to tell: it is the one line that says that the machine is too slow, or stood still. */
function stallField({ stallCount, stalledMs }: FleetTotals): [string, string][] {
  if (stallCount === 0n) return [];
  return [['stalls', `${stallCount}, ${ms(Number(stalledMs))} in all: the coordinator did not run, or read nothing`]];
}

const BYTE_UNITS = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];

function bytesText(bytes: bigint): string {
  let amount = Number(bytes);
  let unit = 0;
  for (; amount >= 1_024 && unit < BYTE_UNITS.length - 1; unit += 1) amount /= 1_024;
  return `${unit === 0 ? amount : amount.toFixed(1)} ${BYTE_UNITS[unit]}`;
}
