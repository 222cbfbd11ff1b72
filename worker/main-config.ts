import { Command, Option } from 'commander';
import { addressFault, DEFAULT_ADDRESS } from '../client/address.js';
import { DAY_MS, MAX_SLOTS } from '../proto/bounds.js';
import { handlersName } from './handlers-file.js';
import { DRAIN_TIMEOUT_MS } from './fleet-worker.js';
import { STOP_ON_STDIN_EOF_ENV } from '../proto/stdin-guard.js';
import { parseSupervision, SUPERVISION_ENV, type Supervision } from './supervision.js';
import { packageVersion } from '../proto/package-version.js';
import { LOG_LEVELS, parseCommand, parseTimeMs, strayVariables, UsageExit } from '../proto/program-options.js';
import { SESSION_MODES, type SessionMode } from './session-options.js';
import { hostName, integerFault, labelFaults, workerIdFault } from './worker-options.js';

/** What `remuda-worker` was told, validated. */
export interface MainConfig {
  /** Handlers file, relative to the current directory. */
  readonly handlers: string;
  readonly address: string;
  /** Undefined: made from host and process id. */
  readonly workerId: string | undefined;
  readonly slots: number;
  readonly prefetch: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly session: SessionMode;
  readonly drainTimeoutMs: number;
  readonly logLevel: string;
  /** Undefined: this process is the worker. Otherwise it starts and supervises so many. */
  readonly processes: number | undefined;
  /** Drain soon when stdin ends (REMUDA_STOP_ON_STDIN_EOF=1). */
  readonly stopOnStdinEnd: boolean;
  /** Variables REMUDA_... that mean nothing to it. */
  readonly strayVariables: readonly string[];
  /** Set by a supervisor for its child. */
  readonly supervised: Supervision | undefined;
}

type Env = Readonly<Record<string, string | undefined>>;

const PROCESSES_MAX = 1_000;

/** All that it reads. */
const VARIABLES = [
  ...['REMUDA_HANDLERS', 'REMUDA_ADDRESS', 'REMUDA_WORKER_ID', 'REMUDA_SLOTS', 'REMUDA_PROCESSES', 'REMUDA_PREFETCH'],
  ...['REMUDA_LABEL', 'REMUDA_SESSION', 'REMUDA_DRAIN_TIMEOUT', 'REMUDA_LOG_LEVEL', STOP_ON_STDIN_EOF_ENV],
  ...Object.values(SUPERVISION_ENV),
];

const EXAMPLE = `
Everything may also come as a variable: REMUDA_HANDLERS, REMUDA_ADDRESS, REMUDA_WORKER_ID, REMUDA_SLOTS, REMUDA_PROCESSES,
REMUDA_PREFETCH, REMUDA_LABEL (k=v,k=v), REMUDA_SESSION, REMUDA_DRAIN_TIMEOUT, REMUDA_LOG_LEVEL. What is on the command
line comes before its variable.

Example: handlers.mjs
  export default {
    setup: async () => { /* once per process */ },
    'file.checksum': async ({ path }, ctx) => ({ sha256: await checksum(path, ctx.signal) }),
  };

  remuda-worker handlers.mjs --address 127.0.0.1:7070 --slots 4 --label disk=ssd

Signals: SIGTERM and SIGINT drain (what runs may finish), a second one ends at once. With REMUDA_STOP_ON_STDIN_EOF=1 the end
of stdin drains too, for at most 3 s: for a program that starts this one and may die.
Exit status: 0 left in good order, 1 a bug or an error in user code, 2 wrong options, handlers file or refused by the
coordinator, 78 another process has taken the worker_id.`;

/**
 * Reads the command line and the variables: option before variable before default.
 *
 * @param argv without the program's own two
 * @throws {UsageExit} with every fault in one message
 */
export function parseMainConfig(argv: readonly string[], env: Env): MainConfig {
  const { flags, rest, faults } = parseFlags(argv);
  const read = (flag: string | undefined, variable: string): string | undefined => flag ?? (env[variable] || undefined);
  const integer = (name: string, text: string | undefined, min: number, max: number): number | undefined => {
    if (text === undefined) return undefined;
    const value = /^\d{1,9}$/.test(text) ? Number(text) : text;
    const fault = integerFault(name, value, min, max);
    if (fault === undefined) return value as number;
    faults.push(fault);
    return undefined;
  };
  const fault = (text: string | undefined) => {
    if (text !== undefined) faults.push(text);
  };

  const handlers = parseHandlersArgument(rest, env['REMUDA_HANDLERS'], faults);
  const address = read(flags.address, 'REMUDA_ADDRESS') ?? DEFAULT_ADDRESS;
  fault(addressFault(address));
  const workerId = read(flags.workerId, 'REMUDA_WORKER_ID');
  if (workerId !== undefined) fault(workerIdFault(workerId));
  const slots = integer('--slots', read(flags.slots, 'REMUDA_SLOTS'), 1, MAX_SLOTS) ?? 1;
  const prefetch = integer('--prefetch', read(flags.prefetch, 'REMUDA_PREFETCH'), 0, 1_000) ?? 0;
  const processes = integer('--processes', read(flags.processes, 'REMUDA_PROCESSES'), 1, PROCESSES_MAX);
  const labels = parseLabels(flags.label ?? (env.REMUDA_LABEL ?? '').split(',').filter((text) => text !== ''), faults);
  const session = parseSession(read(flags.session, 'REMUDA_SESSION'), faults);
  const drainTimeoutMs = parseDrainTimeout(read(flags.drainTimeout, 'REMUDA_DRAIN_TIMEOUT'), faults);
  const logLevel = read(flags.logLevel, 'REMUDA_LOG_LEVEL') ?? 'info';
  if (!LOG_LEVELS.some((level) => level === logLevel)) {
    faults.push(`--log-level is "${logLevel}"; it must be one of ${LOG_LEVELS.join(', ')}`);
  }
  const supervised = parseSupervision(env);

  if (faults.length > 0) {
    const list = faults.map((text) => `  - ${text}`).join('\n');
    throw new UsageExit(`remuda-worker: cannot start\n${list}\nremuda-worker --help says more`, 2);
  }
  return {
    handlers,
    address,
    workerId,
    slots,
    prefetch,
    labels,
    session,
    drainTimeoutMs,
    logLevel,
    supervised,
    // A child's are its supervisor's, which has told of them.
    strayVariables: supervised === undefined ? strayVariables(env, VARIABLES) : [],
    // A supervised child has its supervisor's socket for that.
    stopOnStdinEnd: supervised === undefined && env[STOP_ON_STDIN_EOF_ENV] === '1',
    // A child does not supervise, whatever REMUDA_PROCESSES says.
    processes: supervised === undefined ? processes : undefined,
  };
}

/** The command line of the process of an index, under a supervisor that has this configuration. */
export function childArguments(config: MainConfig, index: number): string[] {
  const { handlers, address, workerId, slots, prefetch, labels, session, drainTimeoutMs, logLevel } = config;
  const prefix = workerId ?? `${hostName()}/${handlersName(handlers)}`;
  return [
    `--address=${address}`,
    `--worker-id=${prefix}/${index}`,
    `--slots=${slots}`,
    `--prefetch=${prefetch}`,
    ...Object.entries(labels).map(([key, value]) => `--label=${key}=${value}`),
    `--session=${session}`,
    `--drain-timeout=${drainTimeoutMs}ms`,
    `--log-level=${logLevel}`,
    handlers,
  ];
}

interface Flags {
  readonly address?: string;
  readonly workerId?: string;
  readonly slots?: string;
  readonly processes?: string;
  readonly prefetch?: string;
  readonly label?: string[];
  readonly session?: string;
  readonly drainTimeout?: string;
  readonly logLevel?: string;
}

function parseFlags(argv: readonly string[]): { flags: Flags; rest: string[]; faults: string[] } {
  const collect = (value: string, before: string[] | undefined) => [...(before ?? []), value];
  const command = new Command('remuda-worker')
    .description('Runs the handlers of a file for a Remuda coordinator.')
    .version(packageVersion())
    .argument(
      '[HANDLERS]',
      'handlers file (.js, .mjs, .cjs; from Node 22.18 on .ts, .mts, .cts): its default export maps task types to functions',
    )
    .option('--address <HOST:PORT>', `the coordinator, or unix:PATH (default ${DEFAULT_ADDRESS})`)
    .option(
      '--worker-id <ID>',
      'stable across restarts (default HOST/PID, which is not; HOST/HANDLERS with --processes)',
    )
    .option('--slots <N>', 'how many handlers run at once in a process, 1 to 1,000 (default 1)')
    .option(
      '--processes <N>',
      'start and supervise N processes, named ID/0 to ID/N-1 (default: none, this process works)',
    )
    .option('--prefetch <N>', 'how many more tasks may wait in a process, 0 to 1,000 (default 0)')
    .addOption(new Option('--label <K=V>', 'a label that tasks may require; may be repeated').argParser(collect))
    .option(
      '--session <WHERE>',
      'thread, or inline: on the loop of the handlers, faster, for handlers that never block it (default thread)',
    )
    .option('--drain-timeout <TIME>', 'how long handlers may finish after SIGTERM, such as 90s or 5m (default 5m)')
    .option('--log-level <LEVEL>', `${LOG_LEVELS.join(', ')} (default info)`)
    .addHelpText('after', EXAMPLE);
  parseCommand(command, argv);
  return { flags: command.opts<Flags>(), rest: command.args, faults: [] };
}

function parseHandlersArgument(rest: readonly string[], variable: string | undefined, faults: string[]): string {
  const unknown = rest.filter((text) => text.startsWith('-'));
  for (const text of unknown) faults.push(`unknown option ${text}`);
  const [argument, ...others] = rest.filter((text) => !text.startsWith('-'));
  // An empty argument is a variable that is not set, in somebody's script.
  const handlers = argument || variable || '';
  if (handlers === '') faults.push('no handlers file; name it: remuda-worker handlers.mjs, or by REMUDA_HANDLERS');
  else if (others.length > 0 && unknown.length === 0) {
    faults.push(
      `one handlers file, please: ${[argument, ...others].map((text) => `"${text}"`).join(' ')} are ${others.length + 1}`,
    );
  }
  return handlers;
}

function parseLabels(given: readonly string[], faults: string[]): Record<string, string> {
  const found = new Map<string, string>();
  for (const text of given) {
    const at = text.indexOf('=');
    const key = text.slice(0, at).trim();
    if (at < 1) faults.push(`--label is "${text}"; it must be KEY=VALUE, for instance disk=ssd`);
    else if (found.has(key)) faults.push(`--label names "${key}" twice`);
    else found.set(key, text.slice(at + 1));
  }
  const labels = Object.fromEntries(found);
  faults.push(...labelFaults(labels));
  return labels;
}

function parseSession(text: string | undefined, faults: string[]): SessionMode {
  if (text === undefined) return 'thread';
  const mode = SESSION_MODES.find((known) => known === text);
  if (mode === undefined) faults.push(`--session is "${text}"; it must be one of ${SESSION_MODES.join(', ')}`);
  return mode ?? 'thread';
}

function parseDrainTimeout(text: string | undefined, faults: string[]): number {
  if (text === undefined) return DRAIN_TIMEOUT_MS;
  const value = parseTimeMs(text);
  if (value >= 0 && value <= DAY_MS) return value;
  faults.push(`--drain-timeout is "${text}"; it must be a time with its unit from 0s to 24h, for instance 90s or 5m`);
  return DRAIN_TIMEOUT_MS;
}
