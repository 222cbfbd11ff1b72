import type { FLEET_TIMES } from './fleet.js';
import type { MachineFacts } from '../bench/machine.js';
import { BREACHES, type Breach, type Verdict } from './verdict.js';

/** All that a run has to say. */
export interface ChaosReport {
  /** The command that does the same faults again. */
  readonly command: string;
  readonly seed: number;
  /** When it began, ISO 8601. */
  readonly startTime: string;
  /** How long faults were done, and how long it took until all had ended after the last, in milliseconds. */
  readonly faultsMs: number;
  readonly restMs: number;
  readonly machine: Pick<MachineFacts, 'cpu' | 'cores' | 'memoryGib' | 'os' | 'node'>;
  /** What the coordinator and the workers were told, in milliseconds. */
  readonly times: typeof FLEET_TIMES;
  /** Processes of the fleet, by what they are. */
  readonly fleet: string;
  /** Why the disk was not filled; null: it was, where the plan says so. */
  readonly fullDiskSkipped: string | null;
  readonly verdict: Verdict;
}

/** Sentences about one breach that are shown; all are in the JSON. */
const SHOWN_MAX = 10;

/** For people, and for pages. */
export function renderReport(report: ChaosReport): string {
  const { verdict } = report;
  const parts = [
    `    ${report.command}\n`,
    factList(report),
    table('Must be 0', ['what', 'count'], breachRows(verdict)),
    table('Tasks', ['what', 'count'], taskRows(verdict)),
    table(
      'Executed more than once, and why',
      ['executions after the first, because', 'count'],
      counted(verdict.repeats),
    ),
    table('Faults', ['kind', 'count'], faultRows(report)),
    table('Answers that clients got while things were broken', ['reason', 'count'], counted(verdict.troubles)),
    table(
      'Recovery',
      ['from and to', 'count', 'median ms', 'longest ms'],
      verdict.recovery.map(({ what, count, medianMs, longestMs }) => [
        what,
        ...[count, medianMs, longestMs].map(whole),
      ]),
    ),
  ];
  const evidence = Object.entries(verdict.breaches).flatMap(([name, found]) => evidenceOf(name as Breach, found));
  return [...parts, ...evidence].filter((part) => part !== '').join('\n');
}

function factList({ startTime, faultsMs, restMs, machine, times, fleet, seed, verdict }: ChaosReport): string {
  const { cpu, cores, memoryGib, os, node } = machine;
  const { heartbeatMs, leaseMs, stuckGraceMs, restartHoldMs, drainTimeoutMs, headStartMs } = times;
  const facts = [
    ['result', verdict.isGood ? 'all holds' : 'NOT ALL HOLDS'],
    ['when', startTime],
    ['machine', `${cpu}, ${cores} cores, ${memoryGib} GiB, ${os}, Node ${node}`],
    ['seed', String(seed)],
    ['fleet', fleet],
    [
      'settings',
      `heartbeat ${heartbeatMs} ms, lease ${leaseMs} ms (and 1,000 ms of margin at the coordinator), stuck grace ${stuckGraceMs} ms, ` +
        `restart hold ${restartHoldMs} ms, drain time-out ${drainTimeoutMs} ms, head start ${headStartMs} ms a point`,
    ],
    ['faults', `for ${seconds(faultsMs)} s; all had ended ${seconds(restMs)} s after the last`],
  ];
  return `${facts.map(([name, value]) => `- ${name}: ${value}`).join('\n')}\n`;
}

function breachRows({ breaches }: Verdict): string[][] {
  return Object.entries(BREACHES).map(([name, what]) => [`${name}: ${what}`, whole(breaches[name as Breach].length)]);
}

function taskRows(verdict: Verdict): string[][] {
  const { submitted, acknowledged, refused, ends, executions, executedAgain } = verdict;
  return [
    ['submitted', whole(submitted)],
    ['acknowledged', whole(acknowledged)],
    ['refused for good, their deadline had passed before they arrived', whole(refused)],
    ...counted(ends).map(([state = '', count = '']) => [`ended ${state}`, count]),
    ['executions', whole(executions)],
    ['executed more than once', whole(executedAgain)],
  ];
}

function faultRows({ verdict, fullDiskSkipped }: ChaosReport): string[][] {
  const { faults, kills, killsOf, skipped } = verdict;
  return [
    ...counted(faults),
    ...(fullDiskSkipped === null ? [] : [['fill-disk', `left out: ${fullDiskSkipped}`]]),
    ['skipped: the target was not there just then', whole(skipped)],
    ['**kills in all**', `**${whole(kills)}**`],
    ...counted(killsOf).map(([role = '', count = '']) => [`of them: ${role}`, count]),
  ];
}

function counted(counts: Readonly<Partial<Record<string, number>>>): string[][] {
  const sorted = Object.entries(counts).sort(([, a = 0], [, b = 0]) => b - a);
  return sorted.map(([name, count = 0]) => [name === '' ? '(no reason)' : name, whole(count)]);
}

function table(title: string, heads: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return '';
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const rule = line(heads.map((_, index) => (index === 0 ? '---' : '--:')));
  return `${title}:\n\n${[line(heads), rule, ...rows.map(line)].join('\n')}\n`;
}

function evidenceOf(name: Breach, found: readonly string[]): string[] {
  if (found.length === 0) return [];
  const more = found.length > SHOWN_MAX ? [`- and ${found.length - SHOWN_MAX} more`] : [];
  return [`${name}:\n\n${[...found.slice(0, SHOWN_MAX).map((text) => `- ${text}`), ...more].join('\n')}\n`];
}

function whole(value: number): string {
  return value.toLocaleString('en');
}

function seconds(ms: number): string {
  return (ms / 1_000).toFixed(1);
}
