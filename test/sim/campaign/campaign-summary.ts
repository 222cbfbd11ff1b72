import type { SimReport } from '../simulation.js';
import type { CampaignTally } from './campaign.js';

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
/** Seeds named for each rule that was broken. */
const SHOWN_SEEDS = 20;

/** What a campaign came to, for people. `elapsedMs` is real time. */
export function campaignSummary(tally: CampaignTally, elapsedMs: number): string {
  const { seeds, simulatedMs, attempts, faults, ends, failures } = tally;
  const hours = simulatedMs / HOUR_MS;
  const minutes = elapsedMs / MINUTE_MS;
  const perMinute = minutes > 0 ? hours / minutes : 0;
  const lines: [string, string][] = [
    ['seeds', `${number(seeds)}: ${number(seeds - failures.length)} held, ${number(failures.length)} failed`],
    ...[...byRule(failures)].map(([rule, broke]): [string, string] => ['', `${rule}: seeds ${named(broke)}`]),
    ['simulated', `${hours.toFixed(1)} h in ${minutes.toFixed(1)} min: ${perMinute.toFixed(1)} h a minute`],
    ['faults', counts(faults)],
    ['attempts', number(attempts)],
    ['tasks', counts(ends)],
  ];
  return lines.map(([name, text]) => `${name.padEnd(10)} ${text}\n`).join('');
}

function byRule(failures: readonly SimReport[]): Map<string, number[]> {
  const seeds = new Map<string, number[]>();
  for (const { seed, violation } of failures) {
    const rule = violation?.rule ?? '';
    seeds.set(rule, [...(seeds.get(rule) ?? []), seed]);
  }
  return seeds;
}

function named(seeds: readonly number[]): string {
  const shown = [...seeds].sort((a, b) => a - b).slice(0, SHOWN_SEEDS);
  const more = seeds.length - shown.length;
  return `${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

/** The sum, and its parts, the most frequent first. */
function counts(byName: Readonly<Record<string, number>>): string {
  const parts = Object.entries(byName).sort(([, a], [, b]) => b - a);
  const sum = parts.reduce((total, [, count]) => total + count, 0);
  if (parts.length === 0) return '0';
  return `${number(sum)}: ${parts.map(([name, count]) => `${number(count)} ${name}`).join(', ')}`;
}

function number(value: number): string {
  return value.toLocaleString('en');
}
