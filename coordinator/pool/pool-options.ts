import { existsSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { OptionFaults } from '../../client/option-faults.js';
import { DAY_MS, HOUR_MS } from '../../proto/bounds.js';
import { LOG_LEVELS } from '../../proto/program-options.js';
import { openStore } from '../store/open-store.js';

/** Options of createWorkerPool(). Everything has a default; times are in milliseconds. */
export interface WorkerPoolOptions {
  /**
   * Handlers file of the workers: its default export maps task types to functions. A path, relative to the working directory, or a
   * file URL. Not together with `worker`.
   */
  readonly handlers?: string | URL;
  /**
   * Script of the workers, which registers its own handlers (`WorkerProcess` of `remuda/worker`). Default, without `handlers`:
   * `./lib/worker-pool/worker-process.js` below the working directory.
   */
  readonly worker?: string | URL;
  /** How many worker processes there are at first, `minWorkers` to `maxWorkers`. Default: one for each core. */
  readonly poolSize?: number;
  /** scaleDown() goes no lower, and with fewer that take tasks the pool is `degraded`. 1 to 1,000. Default 1. */
  readonly minWorkers?: number;
  /** scaleUp() goes no higher. 1 to 1,000. Default: the larger of poolSize and 50. */
  readonly maxWorkers?: number;
  /** How often workers send a heartbeat, 100 to 300,000; one that is silent for three of them is a zombie. Default 5,000. */
  readonly heartbeatInterval?: number;
  /** How long an attempt may run when its task says nothing else, 1 to 86,400,000; see `timeout` of submitTask(). Default 300,000. */
  readonly taskTimeout?: number;
  /** How a worker is chosen among those that are free. Default `least-loaded`. */
  readonly loadBalancing?: 'least-loaded' | 'round-robin';
  /** Start a worker again that has failed. Default true. */
  readonly autoRestart?: boolean;
  /** How often within 60 s a worker that fails is started again before it is given up, 0 to 1,000. Default 3. */
  readonly maxRestartAttempts?: number;
  /**
   * Resident memory of a worker process, in MiB, 16 to 1,048,576: above it, judged at each heartbeat, the worker finishes what
   * it runs and is replaced. Default: no limit.
   */
  readonly workerMemoryLimitMB?: number;
  /** Where tasks are kept: `memory:`, gone with this process, or `sqlite:PATH`, durable. Default `memory:`. */
  readonly store?: string;
  /** Bytes of one payload or result, at most, 1,024 to 67,108,864. Default 1,048,576. */
  readonly maxPayloadBytes?: number;
  /** The log, relative to the working directory; false: none. Default `logs/worker-pool.log`. */
  readonly logFile?: string | false;
  /** What is logged: fatal, error, warn, info, debug, trace, silent. Default info. */
  readonly logLevel?: string;
  /** Port of 127.0.0.1 for GET /metrics/worker-pool and /metrics; 0 takes a free one. Default: none. */
  readonly httpPort?: number;
  /** How long the first workers may take until they are welcomed, 1,000 to 3,600,000. Default 60,000. */
  readonly startTimeout?: number;
  /** Variables of the workers beside those of this process; undefined takes one away. Default: none. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Options of Node for the workers. Default: those of this process, without what is for it alone (`--eval`, `--inspect`, ...). */
  readonly execArgv?: readonly string[];
}

/** Options, validated, with defaults; paths are absolute. */
export interface CompiledPoolOptions {
  readonly program: { readonly kind: 'handlers' | 'script'; readonly path: string };
  readonly poolSize: number;
  readonly minWorkers: number;
  readonly maxWorkers: number;
  readonly heartbeatInterval: number;
  readonly taskTimeout: number;
  readonly loadBalancing: 'least-loaded' | 'round-robin';
  readonly autoRestart: boolean;
  readonly maxRestartAttempts: number;
  /** In bytes; undefined: no limit. */
  readonly workerMemoryLimitBytes: number | undefined;
  readonly store: string;
  readonly maxPayloadBytes: number;
  readonly logFile: string | false;
  readonly logLevel: string;
  /** Undefined: no HTTP side. */
  readonly httpPort: number | undefined;
  readonly startTimeout: number;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly execArgv: readonly string[];
}

const MIB = 1_048_576;
const WORKERS_MAX = 1_000;
const SQLITE = 'sqlite:';
/** Of a path in a message. */
const PATH_CHARS_SHOWN = 200;
/** Where the guide of older pools has the script. */
const DEFAULT_SCRIPT = 'lib/worker-pool/worker-process.js';

const DEFAULTS = {
  minWorkers: 1,
  maxWorkers: 50,
  heartbeatInterval: 5_000,
  taskTimeout: 300_000,
  loadBalancing: 'least-loaded',
  autoRestart: true,
  maxRestartAttempts: 3,
  store: 'memory:',
  maxPayloadBytes: MIB,
  logFile: 'logs/worker-pool.log',
  logLevel: 'info',
  startTimeout: 60_000,
} as const satisfies Partial<WorkerPoolOptions>;

/** All of them, for the message about one that is none of them. */
const NAMES = [
  ...['handlers', 'worker', 'poolSize', 'minWorkers', 'maxWorkers', 'heartbeatInterval', 'taskTimeout'],
  ...[
    'loadBalancing',
    'autoRestart',
    'maxRestartAttempts',
    'workerMemoryLimitMB',
    'store',
    'maxPayloadBytes',
    'logFile',
    'logLevel',
  ],
  ...['httpPort', 'startTimeout', 'env', 'execArgv'],
];

/** What is for the process that was started with it, and breaks or doubles something in another. */
const OWN_EXEC_ARGV =
  /^(-e|--eval|-p|--print|-pe|-i|--interactive|-c|--check|--(inspect|test|watch|input-type|cpu-prof|heap-prof|prof|run)\b.*)/;
/** Of these, those whose value is an argument of its own, unless it follows a `=`. */
const WITH_VALUE = new Set([
  ...['-e', '--eval', '-p', '--print', '-pe', '--input-type', '--run', '--inspect-port', '--inspect-publish-uid'],
  ...['--cpu-prof-dir', '--cpu-prof-name', '--cpu-prof-interval', '--heap-prof-dir', '--heap-prof-name'],
  ...['--heap-prof-interval', '--test-reporter', '--test-reporter-destination', '--test-name-pattern'],
  ...['--test-skip-pattern', '--test-shard', '--test-timeout', '--test-concurrency', '--watch-path'],
]);

/** Options of Node that a program passes on to its workers. */
export function inheritedExecArgv(execArgv: readonly string[]): string[] {
  const kept: string[] = [];
  for (let index = 0; index < execArgv.length; index += 1) {
    const argument = execArgv[index] ?? '';
    if (!OWN_EXEC_ARGV.test(argument)) kept.push(argument);
    else if (WITH_VALUE.has(argument)) index += 1;
  }
  return kept;
}

/**
 * Checks options and fills in defaults.
 *
 * @param cwd absolute
 * @throws FleetError INVALID_ARGUMENT / INVALID_OPTIONS with every fault in one message
 */
export function compilePoolOptions(
  options: unknown,
  { cwd, execArgv }: { readonly cwd: string; readonly execArgv: readonly string[] },
): CompiledPoolOptions {
  const faults = new OptionFaults();
  const given = faults.object('options', options, NAMES);
  const integer = (name: string, min: number, max: number, unit = ''): number | undefined =>
    faults.integer(name, given[name], min, max, unit);
  const memoryLimitMB = given['workerMemoryLimitMB'] === null ? undefined : integer('workerMemoryLimitMB', 16, MIB);
  const compiled: CompiledPoolOptions = {
    program: readProgram(given, cwd, faults),
    ...readSizes(given, faults),
    heartbeatInterval: integer('heartbeatInterval', 100, 300_000, 'milliseconds') ?? DEFAULTS.heartbeatInterval,
    taskTimeout: integer('taskTimeout', 1, DAY_MS, 'milliseconds') ?? DEFAULTS.taskTimeout,
    loadBalancing:
      faults.word('loadBalancing', given['loadBalancing'], ['least-loaded', 'round-robin'] as const) ??
      DEFAULTS.loadBalancing,
    autoRestart: faults.boolean('autoRestart', given['autoRestart']) ?? DEFAULTS.autoRestart,
    maxRestartAttempts: integer('maxRestartAttempts', 0, 1_000) ?? DEFAULTS.maxRestartAttempts,
    workerMemoryLimitBytes: memoryLimitMB === undefined ? undefined : memoryLimitMB * MIB,
    store: readStore(given['store'], cwd, faults),
    maxPayloadBytes: integer('maxPayloadBytes', 1_024, 64 * MIB, 'bytes') ?? DEFAULTS.maxPayloadBytes,
    logFile: readLogFile(given['logFile'], cwd, faults),
    logLevel: faults.word('logLevel', given['logLevel'], LOG_LEVELS) ?? DEFAULTS.logLevel,
    httpPort: integer('httpPort', 0, 65_535),
    startTimeout: integer('startTimeout', 1_000, HOUR_MS, 'milliseconds') ?? DEFAULTS.startTimeout,
    env: readEnv(given['env'], faults),
    execArgv: readExecArgv(given['execArgv'], faults) ?? inheritedExecArgv(execArgv),
  };
  faults.throwIfAny('INVALID_OPTIONS');
  return compiled;
}

function readSizes(
  given: Readonly<Record<string, unknown>>,
  faults: OptionFaults,
): Pick<CompiledPoolOptions, 'poolSize' | 'minWorkers' | 'maxWorkers'> {
  const size = (name: string): number | undefined => faults.integer(name, given[name], 1, WORKERS_MAX);
  const [askedSize, askedMin, askedMax] = [size('poolSize'), size('minWorkers'), size('maxWorkers')];
  const minWorkers = askedMin ?? Math.min(DEFAULTS.minWorkers, askedMax ?? WORKERS_MAX);
  const byCores = Math.max(minWorkers, Math.min(availableParallelism(), askedMax ?? WORKERS_MAX));
  const poolSize = askedSize ?? byCores;
  const maxWorkers = askedMax ?? Math.max(poolSize, DEFAULTS.maxWorkers);
  if (minWorkers > maxWorkers) faults.add('minWorkers', `is ${minWorkers}, above maxWorkers, which is ${maxWorkers}`);
  else if (poolSize < minWorkers) faults.add('poolSize', `is ${poolSize}, below minWorkers, which is ${minWorkers}`);
  else if (poolSize > maxWorkers) faults.add('poolSize', `is ${poolSize}, above maxWorkers, which is ${maxWorkers}`);
  return { poolSize, minWorkers, maxWorkers };
}

function readProgram(
  given: Readonly<Record<string, unknown>>,
  cwd: string,
  faults: OptionFaults,
): CompiledPoolOptions['program'] {
  const handlers = readPath('handlers', given['handlers'], cwd, faults);
  const worker = readPath('worker', given['worker'], cwd, faults);
  if (given['handlers'] !== undefined && given['worker'] !== undefined) {
    faults.add('worker', 'is given beside handlers; keep one: a handlers file, or a script that registers its own');
  }
  if (handlers !== undefined) return { kind: 'handlers', path: handlers };
  if (worker !== undefined) return { kind: 'script', path: worker };
  const path = resolve(cwd, DEFAULT_SCRIPT);
  if (given['handlers'] === undefined && given['worker'] === undefined && !existsSync(path)) {
    const advice = `name a handlers file, or with worker a script that registers its own; without either it is ${path}, which does not exist`;
    faults.add('handlers', `is not given: ${advice}`);
  }
  return { kind: 'script', path };
}

/** An absolute path; undefined if it is not given, or cannot be used. */
function readPath(name: string, given: unknown, cwd: string, faults: OptionFaults): string | undefined {
  if (given === undefined) return undefined;
  const text = given instanceof URL ? given.href : faults.text(name, given, isPath, 'a path or a file: URL');
  if (text === undefined) return undefined;
  const shownPath = text.length <= PATH_CHARS_SHOWN ? text : `${text.slice(0, PATH_CHARS_SHOWN)}…`;
  try {
    const path = resolve(cwd, given instanceof URL || text.startsWith('file:') ? fileURLToPath(text) : text);
    const found = statSync(path, { throwIfNoEntry: false });
    if (found === undefined) return faults.add(name, `is ${path}, which does not exist`);
    return found.isFile() ? path : faults.add(name, `is ${path}, which is no file`);
  } catch (error) {
    // No file URL, or a path that the system will not follow.
    const { code = 'unknown' } = error as NodeJS.ErrnoException;
    return faults.add(name, `is ${shownPath}; it must be a path or a file: URL, and this one cannot be used (${code})`);
  }
}

function isPath(text: string): boolean {
  return text !== '' && !text.includes('\0');
}

/** An absolute path stays the same file when the program goes to another directory. */
function readStore(given: unknown, cwd: string, faults: OptionFaults): string {
  const spec = faults.text('store', given, (text) => text !== '', 'memory: or sqlite:PATH') ?? DEFAULTS.store;
  try {
    openStore(spec);
  } catch (error) {
    faults.add('store', `is refused: ${error instanceof Error ? error.message : String(error)}`);
  }
  return spec.startsWith(SQLITE) ? `${SQLITE}${resolve(cwd, spec.slice(SQLITE.length))}` : spec;
}

function readLogFile(given: unknown, cwd: string, faults: OptionFaults): string | false {
  if (given === false) return false;
  return resolve(cwd, faults.text('logFile', given, isPath, 'a path, or false for none') ?? DEFAULTS.logFile);
}

function readEnv(given: unknown, faults: OptionFaults): Readonly<Record<string, string | undefined>> {
  const env = faults.object('env', given, typeof given === 'object' && given !== null ? Object.keys(given) : []);
  for (const [name, value] of Object.entries(env)) {
    if (value !== undefined)
      faults.text(`env.${name}`, value, (text) => !text.includes('\0'), 'a string without NUL characters');
  }
  return env as Readonly<Record<string, string | undefined>>;
}

function readExecArgv(given: unknown, faults: OptionFaults): readonly string[] | undefined {
  if (given === undefined) return undefined;
  const isList = Array.isArray(given) && given.every((item) => typeof item === 'string');
  return isList ? given : faults.add('execArgv', 'must be an array of strings');
}
