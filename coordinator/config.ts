import { Command } from 'commander';
import ms from 'ms';
import { CORE_DEFAULTS } from './core/config.js';
import {
  formatAddress,
  isLocal,
  parseListenAddress,
  REACHABLE_BY_OTHERS,
  type ListenAddress,
  type PassedSockets,
} from './listen-address.js';
import { openStore, storeDefaults } from './store/open-store.js';
import { STOP_ON_STDIN_EOF_ENV } from '../proto/stdin-guard.js';
import { packageVersion } from '../proto/package-version.js';
import { LOG_LEVELS, parseCommand, parseTimeMs, UsageExit } from '../proto/program-options.js';

/** What a coordinator is told, checked, defaults filled in. */
export interface CoordinatorConfig {
  /** Where gRPC is served: an address, or sockets that listen already. Default 127.0.0.1:7070. */
  readonly listen: ListenAddress | PassedSockets;
  /** Where /metrics, /healthz and /readyz are served; null: nowhere. Default 127.0.0.1:7071. */
  readonly http: ListenAddress | null;
  /** `sqlite:PATH` or `memory:`. Default sqlite:./remuda.db. */
  readonly store: string;
  /** Bytes that the store may have in use before new tasks are refused, 16 MiB to 1 TiB. Default: 8 GiB, `memory:` 256 MiB. */
  readonly maxStoreBytes: number;
  /**
   * Bytes that new tasks leave free on the disk of the store, beside 1 MiB a slot, so that what runs can finish; 0 to 1 TiB, 0:
   * nothing is left free, not for slots either. Default 256 MiB. Nothing to a `memory:` store.
   */
  readonly minFreeBytes: number;
  /** How often workers send a heartbeat, in milliseconds, 100 ms to 5 min. Default 5 s. */
  readonly heartbeatIntervalMs: number;
  /** How long a silent worker keeps its attempts, in milliseconds; at least 1 s and twice the heartbeat, at most 1 h. Default: three times. */
  readonly leaseMs: number;
  /** How long a handler may take to settle after its abort, in milliseconds, 100 ms to 10 min. Default 10 s. */
  readonly stuckGraceMs: number;
  /**
   * How long what runs may run on without a coordinator that was stopped in good order, in milliseconds, 0 to 1 h; no longer than
   * the lease means that nothing is held. Default 2 min. A `memory:` store holds nothing.
   */
  readonly restartHoldMs: number;
  /** Unfinished tasks, at most. 1 to 10,000,000. Default 1,000,000. */
  readonly maxOpenTasks: number;
  /** Bytes of one payload or result, at most. 1 KiB to 64 MiB. Default 1 MiB. */
  readonly maxPayloadBytes: number;
  /** Known worker processes, at most. 1 to 100,000. Default 10,000. */
  readonly maxWorkers: number;
  /** How a worker is chosen among those that can. Default least-loaded. */
  readonly balancing: 'least-loaded' | 'round-robin';
  /** What one point of priority is worth against waiting, in milliseconds, 0 to 1 h. Default 10 s. */
  readonly headStartMs: number;
  /** Default info. */
  readonly logLevel: string;
  /** Listen where other machines can reach it, without TLS. Default false. */
  readonly insecure: boolean;
}

type Env = Readonly<Record<string, string | undefined>>;

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const MIB = 1_048_576;
/** A worker drops a stream that leaves a frame unacknowledged for half a lease, and an acknowledgement may take 200 ms. */
const MIN_LEASE_MS = 1_000;

const DEFAULTS = {
  listen: { kind: 'tcp', host: '127.0.0.1', port: 7_070 },
  http: { kind: 'tcp', host: '127.0.0.1', port: 7_071 },
  store: 'sqlite:./remuda.db',
  minFreeBytes: 256 * MIB,
  heartbeatIntervalMs: 5_000,
  stuckGraceMs: CORE_DEFAULTS.stuckGraceMs,
  restartHoldMs: 2 * MINUTE_MS,
  maxOpenTasks: CORE_DEFAULTS.maxOpenTasks,
  maxPayloadBytes: MIB,
  maxWorkers: CORE_DEFAULTS.maxWorkers,
  balancing: CORE_DEFAULTS.balancing,
  headStartMs: CORE_DEFAULTS.headStartMs,
  logLevel: 'info',
  insecure: false,
} as const satisfies Omit<CoordinatorConfig, 'maxStoreBytes' | 'leaseMs'>;

/** The defaults of what depends on something else. */
function derivedDefaults({
  heartbeatIntervalMs,
  store,
}: Pick<CoordinatorConfig, 'heartbeatIntervalMs' | 'store'>): Pick<CoordinatorConfig, 'leaseMs' | 'maxStoreBytes'> {
  return {
    leaseMs: Math.max(MIN_LEASE_MS, heartbeatIntervalMs * 3),
    maxStoreBytes: storeDefaults(store).limitBytes,
  };
}

/**
 * A whole config from the parts that differ from the defaults, which are those of the flags. Checks nothing: for a program that
 * has checked its own options.
 */
export function coordinatorConfig(given: Partial<CoordinatorConfig> = {}): CoordinatorConfig {
  const config = { ...DEFAULTS, ...given };
  return { ...derivedDefaults(config), ...config };
}

/** Every flag with its value's name, meaning and default; the variable is REMUDA_ and the flag's name. */
const FLAGS = {
  listen: [
    'ADDRESS',
    'where gRPC is served: HOST:PORT or unix:PATH; port 0 takes a free one; systemd: nowhere but on sockets that it passes, which are used in any case',
    formatAddress(DEFAULTS.listen),
  ],
  http: ['ADDRESS', 'where /metrics, /healthz and /readyz are served, or off', formatAddress(DEFAULTS.http)],
  store: ['STORE', 'where tasks are durable: sqlite:PATH; or memory:, which keeps nothing', DEFAULTS.store],
  'max-store-bytes': [
    'N',
    'bytes in use in the store at which new tasks are refused, 16,777,216 to 1,099,511,627,776 (default: 8 GiB, memory: 256 MiB)',
    '',
  ],
  'min-free-bytes': [
    'N',
    'bytes free on the disk of the store and within its file, beside 1 MiB a slot, below which new tasks are refused, so that what runs can finish; 0 to 1,099,511,627,776, 0 leaves nothing free',
    String(DEFAULTS.minFreeBytes),
  ],
  'heartbeat-interval': ['TIME', 'how often workers send a heartbeat, 100ms to 5m', ms(DEFAULTS.heartbeatIntervalMs)],
  lease: [
    'TIME',
    'how long a silent worker keeps its tasks: at least 1s and two heartbeats, at most 1h (default: three heartbeats)',
    '',
  ],
  'stuck-grace': [
    'TIME',
    'how long a handler may take to settle after its abort, 100ms to 10m',
    ms(DEFAULTS.stuckGraceMs),
  ],
  'restart-hold': [
    'TIME',
    'how long running tasks may run on while the coordinator is stopped and started again, 0s to 1h',
    ms(DEFAULTS.restartHoldMs),
  ],
  'max-open-tasks': ['N', 'unfinished tasks, at most; 1 to 10,000,000', String(DEFAULTS.maxOpenTasks)],
  'max-payload-bytes': [
    'N',
    'bytes of one payload or result, at most; 1,024 to 67,108,864',
    String(DEFAULTS.maxPayloadBytes),
  ],
  'max-workers': ['N', 'known worker processes, at most; 1 to 100,000', String(DEFAULTS.maxWorkers)],
  balancing: ['HOW', 'least-loaded or round-robin', DEFAULTS.balancing],
  'head-start': ['TIME', 'what a point of priority is worth against waiting, 0s to 1h', ms(DEFAULTS.headStartMs)],
  'log-level': ['LEVEL', LOG_LEVELS.join(', '), DEFAULTS.logLevel],
} as const satisfies Readonly<Record<string, readonly [value: string, meaning: string, defaultValue: string]>>;

type Flag = keyof typeof FLAGS;

const HELP = `
Every option may also come as a variable: REMUDA_LISTEN for --listen, REMUDA_HEARTBEAT_INTERVAL for --heartbeat-interval and
so on; REMUDA_INSECURE=1. An option comes before its variable. Times have a unit: 500ms, 5s, 2m.

Socket activation: gRPC is served on the sockets of a systemd socket unit (LISTEN_PID, LISTEN_FDS); a restart then refuses nobody.

Example:
  remuda-coordinator --listen 127.0.0.1:7070 --store sqlite:/var/lib/remuda/remuda.db

Ended tasks are kept: 10 minutes after their submitter has acknowledged the result, and among the newest 100,000 such (memory:
10,000), sooner when the store is nearly full; 1 hour after they were read; 24 hours after their end if nobody has seen it. Dead
letters are kept for 30 days, and among the newest 100,000.

Signals: SIGTERM and SIGINT stop in good order, within 5 s; unfinished tasks stay in the store.
Exit status: 0 stopped in good order, 1 the addresses or the store cannot be used, or a second signal or 5 s cut the stop short,
2 wrong options, 70 a bug, 74 the store failed while running.`;

/**
 * Reads the command line and the variables: option before variable before default.
 *
 * @param argv without the program's own two
 * @param passed descriptors of sockets that listen already; if there are any, gRPC is served on them, whatever `--listen` says
 * @throws {UsageExit} with every fault in one message
 */
export function parseConfig(argv: readonly string[], env: Env, passed: readonly number[] = []): CoordinatorConfig {
  const { flags, faults, insecureFlag } = parseFlags(argv);
  const read = new Reader((flag) => flags[flag] ?? (env[variableOf(flag)] || FLAGS[flag][2]), faults);
  const insecure = insecureFlag || isTrue(env.REMUDA_INSECURE, faults);
  const store = read.store();
  const heartbeatIntervalMs = read.time('heartbeat-interval', 100, 5 * MINUTE_MS);
  const derived = derivedDefaults({ heartbeatIntervalMs, store });
  const config: CoordinatorConfig = {
    listen: parseListen(read, { passed, insecure, isTold: Boolean(flags.listen ?? env[variableOf('listen')]) }),
    http: read.text('http') === 'off' ? null : read.address('http', insecure),
    store,
    maxStoreBytes:
      read.text('max-store-bytes') === ''
        ? derived.maxStoreBytes
        : read.integer('max-store-bytes', 16 * MIB, 1_048_576 * MIB),
    minFreeBytes: read.integer('min-free-bytes', 0, 1_048_576 * MIB),
    heartbeatIntervalMs,
    leaseMs:
      read.text('lease') === ''
        ? derived.leaseMs
        : read.time('lease', Math.max(MIN_LEASE_MS, heartbeatIntervalMs * 2), HOUR_MS),
    stuckGraceMs: read.time('stuck-grace', 100, 10 * MINUTE_MS),
    restartHoldMs: read.time('restart-hold', 0, HOUR_MS),
    maxOpenTasks: read.integer('max-open-tasks', 1, 10_000_000),
    maxPayloadBytes: read.integer('max-payload-bytes', 1_024, 64 * MIB),
    maxWorkers: read.integer('max-workers', 1, 100_000),
    balancing: read.choice('balancing', ['least-loaded', 'round-robin']),
    headStartMs: read.time('head-start', 0, HOUR_MS),
    logLevel: read.choice('log-level', LOG_LEVELS),
    insecure,
  };
  if (faults.length === 0) return config;
  const list = faults.map((text) => `  - ${text}`).join('\n');
  throw new UsageExit(`remuda-coordinator: cannot start\n${list}\nremuda-coordinator --help says more`, 2);
}

/** What a program that is started by a socket unit is told, so that it does not listen elsewhere when the unit passes nothing. */
const PASSED_ONLY = 'systemd';

interface ListenContext {
  readonly passed: readonly number[];
  readonly insecure: boolean;
  /** An option or a variable names an address. */
  readonly isTold: boolean;
}

function parseListen(read: Reader, { passed, insecure, isTold }: ListenContext): CoordinatorConfig['listen'] {
  const passedOnly = read.text('listen') === PASSED_ONLY;
  if (passedOnly && passed.length === 0) {
    read.fault(
      'listen',
      PASSED_ONLY,
      'but systemd has passed no socket (LISTEN_FDS): start it by a unit that has one; after a change of the socket unit restart that: systemctl restart remuda-coordinator.socket',
    );
  }
  if (passedOnly) return { kind: 'passed', descriptors: passed, unused: null };
  const listen = read.address('listen', insecure);
  return passed.length === 0 ? listen : { kind: 'passed', descriptors: passed, unused: isTold ? listen : null };
}

/** Reads single values and collects what is wrong with them. */
class Reader {
  constructor(
    private readonly valueOf: (flag: Flag) => string,
    private readonly faults: string[],
  ) {}

  text(flag: Flag): string {
    return this.valueOf(flag);
  }

  address(flag: Flag, insecure: boolean): ListenAddress {
    const text = this.valueOf(flag);
    const address = parseListenAddress(text);
    if (typeof address === 'string') {
      this.fault(flag, text, address);
      return { kind: 'tcp', host: '', port: 0 };
    }
    if (!insecure && !isLocal(address)) {
      this.fault(
        flag,
        text,
        `${REACHABLE_BY_OTHERS}: listen on 127.0.0.1 or unix:PATH and put a proxy with TLS in front, or pass --insecure if you trust the whole network`,
      );
    }
    return address;
  }

  store(): string {
    const spec = this.valueOf('store');
    try {
      openStore(spec);
    } catch (error) {
      this.faults.push(`--store: ${error instanceof Error ? error.message : String(error)}`);
    }
    return spec;
  }

  integer(flag: Flag, min: number, max: number): number {
    const text = this.valueOf(flag);
    const value = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
    if (value >= min && value <= max) return value;
    this.fault(flag, text, `it must be a whole number from ${min} to ${max}`);
    return min;
  }

  time(flag: Flag, minMs: number, maxMs: number): number {
    const text = this.valueOf(flag);
    const value = parseTimeMs(text);
    if (value >= minMs && value <= maxMs) return Math.round(value);
    this.fault(
      flag,
      text,
      `it must be a time with its unit from ${ms(minMs)} to ${ms(maxMs)}, for instance 500ms or 5s`,
    );
    return minMs;
  }

  choice<T extends string>(flag: Flag, choices: readonly [T, ...T[]]): T {
    const text = this.valueOf(flag);
    const found = choices.find((choice) => choice === text);
    if (found !== undefined) return found;
    this.fault(flag, text, `it must be one of ${choices.join(', ')}`);
    return choices[0];
  }

  fault(flag: Flag, value: string, what: string): void {
    this.faults.push(`--${flag} is "${value}": ${what}`);
  }
}

function parseFlags(argv: readonly string[]): {
  flags: Partial<Record<Flag, string>>;
  faults: string[];
  insecureFlag: boolean;
} {
  const command = new Command('remuda-coordinator')
    .description('Queues tasks durably and hands them to the workers that dial in.')
    .version(packageVersion());
  for (const [flag, [value, meaning, defaultValue]] of Object.entries(FLAGS)) {
    const shown = defaultValue === '' ? meaning : `${meaning} (default ${defaultValue})`;
    command.option(`--${flag} <${value}>`, shown);
  }
  command.option('--insecure', 'listen where other machines can reach it, without TLS').addHelpText('after', HELP);
  parseCommand(command, argv);
  const given = command.opts<Record<string, string | boolean>>();
  const flags: Partial<Record<Flag, string>> = {};
  for (const flag of Object.keys(FLAGS) as Flag[]) {
    const value = given[flag.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())];
    if (typeof value === 'string') flags[flag] = value;
  }
  const faults = command.args.map((text) =>
    text.startsWith('-') ? `unknown option ${text}` : `unexpected argument "${text}"; everything is an option`,
  );
  return { flags, faults, insecureFlag: given.insecure === true };
}

/** All variables that the program reads, and the one that its neighbours do: an environment may be for all of them. */
export function coordinatorVariables(): string[] {
  const flags = (Object.keys(FLAGS) as Flag[]).map(variableOf);
  return [...flags, 'REMUDA_INSECURE', STOP_ON_STDIN_EOF_ENV, 'REMUDA_ADDRESS'];
}

function variableOf(flag: Flag): string {
  return `REMUDA_${flag.replaceAll('-', '_').toUpperCase()}`;
}

function isTrue(text: string | undefined, faults: string[]): boolean {
  if (text === undefined || text === '' || text === '0' || text === 'false') return false;
  if (text !== '1' && text !== 'true') faults.push(`REMUDA_INSECURE is "${text}": it must be 1 or 0`);
  return true;
}
