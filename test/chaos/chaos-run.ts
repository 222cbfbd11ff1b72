import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { machineFacts } from '../bench/machine.js';
import { Prng } from '../sim/random.js';
import { Auditor } from './auditor.js';
import { commandOf, type ChaosOptions } from './chaos-options.js';
import type { ChaosReport } from './chaos-report.js';
import { ChaosDisk, diskMib } from './disk.js';
import { planFaults } from './fault-plan.js';
import { FaultPlayer } from './fault-player.js';
import { ChaosFleet, FLEET_SHAPES, FLEET_TIMES, RUN_ENV, type FleetShape } from './fleet.js';
import { LEDGER_FOLDERS, LedgerFile, machineMs, readLedger, type HarnessLine } from './ledger.js';
import { killProcessesWith, processesWith } from './run-processes.js';
import { judge } from './verdict.js';

/** How long after the last fault everything may take to end: the longest back-offs, holds and leases together are below a minute. */
const REST_MS = 120_000;
/** How long each process may take to leave. */
const LEAVE_MS = 15_000;
/** After the supervisor's own 2 s. */
const LINGER_MS = 3_000;
const PROGRESS_MS = 10_000;
/** What is acknowledged is kept for ten minutes; less what an audit may come late. */
const KEPT_MS = 9 * 60_000;

/** What a run is given beside its options. */
export interface ChaosTerms {
  readonly options: ChaosOptions;
  readonly seed: number;
  /** Whether mounts are ours alone; null: they are, else why not. */
  readonly noMount: string | null;
  /** Aborted: end everything, judge nothing. */
  readonly signal: AbortSignal;
  /** Lines for people. */
  readonly tell: (text: string) => void;
}

/** What a run came to, and where what it wrote is kept; null: nowhere. */
export interface ChaosOutcome {
  readonly report: ChaosReport;
  readonly keptIn: string | null;
}

/**
 * One run, from the first process to the verdict. Whatever happens, no process of it is left.
 *
 * @throws the signal's reason once that is aborted; Error if something could not be started at all, with the folder of its logs
 */
export async function runChaos(terms: ChaosTerms): Promise<ChaosOutcome> {
  const { options, signal, tell } = terms;
  const folder = mkdtempSync(join(tmpdir(), 'remuda-chaos-'));
  const mark = `${RUN_ENV}=${folder}`;
  // In the environment of all that is started from here.
  process.env[RUN_ENV] = folder;
  const disk = ChaosDisk.make(join(folder, 'disk'), terms.noMount === null, diskMib(options));
  const killAll = (): void => killProcessesWith(mark);
  process.once('exit', killAll);
  let keeps = true;
  try {
    const report = await perform(terms, folder, disk, mark);
    keeps = options.keep || !report.verdict.isGood;
    return { report, keptIn: keeps ? folder : null };
  } catch (error) {
    keeps = !signal.aborted;
    if (keeps) tell(`the folder with ledger and logs is ${folder}`);
    throw error;
  } finally {
    killAll();
    process.off('exit', killAll);
    // What lies on the tmpfs would go with it.
    if (keeps && disk.unfillable === null) cpSync(disk.folder, join(folder, 'store'), { recursive: true });
    disk.unmount();
    if (!keeps) rmSync(folder, { recursive: true, force: true });
  }
}

async function perform(terms: ChaosTerms, folder: string, disk: ChaosDisk, mark: string): Promise<ChaosReport> {
  const { options, seed, signal, tell } = terms;
  const startTime = new Date().toISOString();
  const ledgerFolder = join(folder, 'ledger');
  const fullDiskSkipped = terms.noMount ?? disk.unfillable;
  if (fullDiskSkipped !== null) tell(`the disk is not filled: ${fullDiskSkipped}`);
  using ledger = new LedgerFile<HarnessLine>(join(ledgerFolder, LEDGER_FOLDERS.harness, 'harness.jsonl'));
  const shape: FleetShape = FLEET_SHAPES[options.fleet];
  const prng = new Prng(seed);
  const { rate } = options;
  const fleetOptions = { shape, folder, diskFolder: disk.folder, ledgerFolder, ledger, prng: prng.fork(), rate };
  await using fleet = await ChaosFleet.start(fleetOptions);
  await using auditor = new Auditor(ledgerFolder, fleet.address);
  const player = new FaultPlayer({ fleet, disk, ledger, mark });
  const faultsMs = await hurt(terms, fleet, auditor, player, fullDiskSkipped === null);
  signal.throwIfAborted();

  tell(`no more faults; everything is to end within ${REST_MS / 1_000} s`);
  const calmMs = machineMs();
  const rested = await giveUp(fleet.finishClients(REST_MS), signal);
  const restMs = machineMs() - calmMs;
  tell(rested ? `all has ended after ${(restMs / 1_000).toFixed(1)} s` : 'not everything has ended');
  await giveUp(auditor.finish(signal), signal);
  const late = await fleet.stop(LEAVE_MS);
  const left = [...late.map((name) => `${name} did not leave within ${LEAVE_MS} ms`), ...(await lingering(mark))];
  return {
    command: commandOf(options, seed),
    seed,
    startTime,
    faultsMs: Math.round(faultsMs),
    restMs: Math.round(restMs),
    machine: machineFacts(folder),
    times: FLEET_TIMES,
    fleet: describe(shape, options.rate, fullDiskSkipped === null ? diskMib(options) : null),
    fullDiskSkipped,
    verdict: judge(readLedger(ledgerFolder), { left, keptMs: KEPT_MS }),
  };
}

/** Does all faults of the plan. How long that took, in milliseconds. */
async function hurt(
  { options, seed, signal, tell }: ChaosTerms,
  fleet: ChaosFleet,
  auditor: Auditor,
  player: FaultPlayer,
  canFillDisk: boolean,
): Promise<number> {
  const { forMs, gapMs } = options;
  const terms = { seed, forMs, gapMs, leaseMs: FLEET_TIMES.leaseMs };
  const plan = planFaults({ ...fleet.targets, canFillDisk }, terms);
  tell(`${plan.length} faults in ${(forMs / 60_000).toFixed(1)} minutes: ${commandOf(options, seed)}`);
  const beginMs = machineMs();
  const over = new AbortController();
  const either = AbortSignal.any([over.signal, signal]);
  const watching = auditor.watch(either);
  const progress = tellProgress(either, () => {
    auditor.readClients();
    const { count, kills } = player;
    const tasks = `${auditor.submitted.size} tasks submitted, ${auditor.seen.size} seen to end`;
    tell(`${Math.round((machineMs() - beginMs) / 1_000)} s: ${count} faults, ${kills} of them kills; ${tasks}`);
  });
  try {
    await player.play(plan, forMs, signal);
  } finally {
    over.abort();
    await Promise.all([watching, progress]);
  }
  return machineMs() - beginMs;
}

async function tellProgress(signal: AbortSignal, say: () => void): Promise<void> {
  while (!signal.aborted) {
    const waited = await delay(PROGRESS_MS, true, { signal }).catch(() => false);
    if (waited) say();
  }
}

/** Rejects with the signal's reason where that comes first. */
async function giveUp<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  let onAbort: () => void = () => undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    onAbort = () => reject(signal.reason as Error);
    signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** Those that are still there after the time that they may take to notice that their parents have gone. */
async function lingering(mark: string): Promise<string[]> {
  if ((processesWith(mark) ?? []).length > 0) await delay(LINGER_MS);
  return (processesWith(mark) ?? []).map(({ pid, commandLine }) => `process ${pid} is still there: ${commandLine}`);
}

function describe({ workers, gone, clients }: FleetShape, rate: number, tmpfsMib: number | null): string {
  const parts = [
    `a coordinator (SQLite on ${tmpfsMib === null ? 'a plain folder' : `a tmpfs of ${tmpfsMib} MiB`})`,
    'a supervisor with 2 processes',
    `${workers.length} workers that are started again`,
    `${gone.length} that are gone for good and replaced by others`,
    `${Object.keys(clients).length} clients, ${rate} tasks a second together`,
  ];
  return parts.join(', ');
}

/** Writes a report for machines. */
export function writeReport(path: string, report: ChaosReport): void {
  writeFileSync(path, `${JSON.stringify(report, null, 2)}\n`);
}
