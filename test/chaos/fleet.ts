import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { isAlive, ROOT, within } from '../support/programs.js';
import type { Prng } from '../sim/random.js';
import type { ClientTerms } from './chaos-client.js';
import type { FaultTargets } from './fault-plan.js';
import type { LedgerFile } from './ledger.js';
import { childrenOf, LEDGER_FOLDERS, machineMs, type HarnessLine, type Role } from './ledger.js';
import { ProxyLink } from './proxy.js';
import { Seat, type SeatCommand } from './seat.js';
import type { TaskVia } from './task-kinds.js';

/** Times that the coordinator is told, in milliseconds: short, so that much happens. */
export const FLEET_TIMES = {
  heartbeatMs: 1_000,
  leaseMs: 3_000,
  stuckGraceMs: 2_000,
  restartHoldMs: 10_000,
  drainTimeoutMs: 4_000,
  /** What a point of priority is worth: by default so much that the queue, not the fault, would decide when a task goes on. */
  headStartMs: 100,
} as const;

/** Marks every process of a run, in its environment. */
export const RUN_ENV = 'REMUDA_CHAOS_RUN';

const PROGRAMS = {
  coordinator: `${ROOT}dist/coordinator/main.js`,
  worker: `${ROOT}dist/worker/main.js`,
} as const;
const HANDLERS = fileURLToPath(new URL('chaos-handlers.js', import.meta.url));
const CLIENT = fileURLToPath(new URL('chaos-client.js', import.meta.url));

/** How long a service manager waits before it starts something again, from and to. */
const RESTART_MS = [100, 1_000] as const;
const READY_MS = 30_000;
const SLOTS = 4;
/** Of a supervisor. */
const PROCESSES = 2;

/** Who makes up the fleet. */
export interface FleetShape {
  /** Seats of workers that are alone, and are started again under the same worker_id. */
  readonly workers: readonly string[];
  /** Seats of workers that are gone for good when they end; others with other worker_ids come. */
  readonly gone: readonly string[];
  readonly clients: Readonly<Record<string, readonly TaskVia[]>>;
}

/** Shapes by what is asked for. */
export const FLEET_SHAPES = {
  full: {
    workers: ['lone-a', 'lone-b'],
    gone: ['gone'],
    clients: { streamer: ['submit', 'submit', 'run'], caller: ['call-keep', 'call-keep', 'call-cancel'] },
  },
  small: { workers: ['lone-a'], gone: [], clients: { streamer: ['submit', 'run'] } },
} as const satisfies Record<string, FleetShape>;

const COORDINATOR = 'coordinator';
const SUPERVISOR = 'pool';

/** What a fleet is made of. */
export interface FleetOptions {
  readonly shape: FleetShape;
  /** Of this run. */
  readonly folder: string;
  /** Where the store lies. */
  readonly diskFolder: string;
  /** Where the ledger is written. */
  readonly ledgerFolder: string;
  readonly ledger: LedgerFile<HarnessLine>;
  readonly prng: Prng;
  /** Tasks a second, of all clients together. */
  readonly rate: number;
}

/** All processes of a run, and the links between them. */
export class ChaosFleet implements AsyncDisposable {
  readonly seats = new Map<string, Seat>();
  readonly links = new Map<string, ProxyLink>();
  readonly #options: FleetOptions;
  readonly #port: number;
  #coordinatorReady: () => void = () => undefined;

  private constructor(options: FleetOptions, port: number) {
    this.#options = options;
    this.#port = port;
    mkdirSync(join(options.folder, 'logs'));
    mkdirSync(join(options.ledgerFolder, LEDGER_FOLDERS.clients), { recursive: true });
  }

  /** Starts everything; the coordinator is ready, the others will be. */
  static async start(options: FleetOptions): Promise<ChaosFleet> {
    const fleet = new ChaosFleet(options, await freePort());
    try {
      await fleet.#startAll();
      return fleet;
    } catch (error) {
      await fleet[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Of the coordinator itself, past all links. */
  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  get targets(): Omit<FaultTargets, 'canFillDisk'> {
    const { shape } = this.#options;
    const children = Array.from({ length: PROCESSES }, (_, index) => `${SUPERVISOR}/${index}`);
    const clients = Object.keys(shape.clients);
    return {
      workers: [...shape.workers, ...shape.gone, ...children],
      supervisors: [SUPERVISOR],
      clients,
      coordinator: COORDINATOR,
      links: [...shape.workers, ...shape.gone, SUPERVISOR, ...clients],
    };
  }

  /** The process that a seat's name stands for; a supervisor's child by its place among those that live. */
  processOf(name: string): { readonly role: Role; readonly pid: number; readonly seat: Seat | null } | undefined {
    const seat = this.seats.get(name);
    if (seat !== undefined) return seat.pid === undefined ? undefined : { role: seat.role, pid: seat.pid, seat };
    const [parent = '', place] = name.split('/');
    const parentPid = this.seats.get(parent)?.pid;
    if (parentPid === undefined) return undefined;
    const pids = childrenOf(this.#options.ledgerFolder, parentPid).filter((pid) => isChildOf(pid, parentPid));
    const pid = pids[Number(place)];
    return pid === undefined ? undefined : { role: 'child', pid, seat: null };
  }

  /** Tells the clients to submit nothing more. True if all have seen the ends of all their tasks within the time. */
  async finishClients(timeoutMs: number): Promise<boolean> {
    const clients = [...this.seats.values()].filter(({ role }) => role === 'client');
    const rested = await Promise.all(clients.map((seat) => seat.finish(timeoutMs)));
    return rested.every(Boolean);
  }

  /** Lets all leave in good order, workers first. The names of those that did not. */
  async stop(timeoutMs: number): Promise<string[]> {
    const late: string[] = [];
    const retire = async (seats: Seat[]): Promise<void> => {
      const left = await Promise.all(seats.map((seat) => seat.retire(timeoutMs)));
      late.push(...seats.filter((_, index) => left[index] === false).map(({ name }) => name));
    };
    const all = [...this.seats.values()];
    await retire(all.filter(({ role }) => role !== 'coordinator'));
    await retire(all.filter(({ role }) => role === 'coordinator'));
    return late;
  }

  /** Ends whatever is there. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.seats.values()].map((seat) => seat.end()));
    await Promise.all([...this.links.values()].map((link) => link[Symbol.asyncDispose]()));
  }

  async #startAll(): Promise<void> {
    const { shape, prng, ledgerFolder, rate } = this.#options;
    const ready = new Promise<void>((resolve) => {
      this.#coordinatorReady = resolve;
    });
    this.#open(COORDINATOR, 'coordinator', () => ({ args: this.#coordinatorArgs() }));
    await within(ready, READY_MS, () => `the coordinator was not ready within ${READY_MS} ms`);
    for (const name of this.targets.links) this.links.set(name, await ProxyLink.open(name, this.#port));
    const worker =
      (name: string, idOf: (start: number) => string, more: readonly string[] = []) =>
      (start: number) => ({
        args: this.#workerArgs(name, [...more, '--worker-id', idOf(start)]),
        env: { CHAOS_LEDGER: ledgerFolder },
      });
    this.#open(
      SUPERVISOR,
      'supervisor',
      worker(SUPERVISOR, () => SUPERVISOR, ['--processes', String(PROCESSES)]),
    );
    for (const name of shape.workers)
      this.#open(
        name,
        'worker',
        worker(name, () => name),
      );
    for (const name of shape.gone)
      this.#open(
        name,
        'gone',
        worker(name, (start) => `${name}-${start}`),
      );
    const clients = Object.entries(shape.clients);
    for (const [name, vias] of clients) {
      const seed = prng.int(1, 2 ** 30);
      this.#open(name, 'client', (start) => {
        const ledger = join(ledgerFolder, LEDGER_FOLDERS.clients, `${name}.${start}.jsonl`);
        const address = this.#linkAddress(name);
        const terms: ClientTerms = { address, ledger, seed: seed + start, rate: rate / clients.length, vias };
        return { args: [CLIENT, JSON.stringify(terms)] };
      });
    }
  }

  #open(name: string, role: Role, command: (start: number) => SeatCommand): void {
    const { folder, ledger, prng } = this.#options;
    const dice = prng.fork();
    const seat = new Seat({
      name,
      role,
      command,
      restartDelayMs: () => dice.int(...RESTART_MS),
      logPath: join(folder, 'logs', `${name}.log`),
      ledger,
      onLine: (line, pid) => this.#hear(name, role, line, pid),
    });
    this.seats.set(name, seat);
    seat.open();
  }

  #coordinatorArgs(): string[] {
    const { heartbeatMs, leaseMs, stuckGraceMs, restartHoldMs, headStartMs } = FLEET_TIMES;
    return [
      PROGRAMS.coordinator,
      ...[
        '--listen',
        this.address,
        '--http',
        'off',
        '--store',
        `sqlite:${join(this.#options.diskFolder, 'remuda.db')}`,
      ],
      ...['--heartbeat-interval', `${heartbeatMs}ms`, '--lease', `${leaseMs}ms`],
      ...['--stuck-grace', `${stuckGraceMs}ms`, '--restart-hold', `${restartHoldMs}ms`],
      ...['--head-start', `${headStartMs}ms`],
    ];
  }

  #workerArgs(name: string, more: readonly string[]): string[] {
    const drain = ['--drain-timeout', `${FLEET_TIMES.drainTimeoutMs}ms`];
    const slots = ['--slots', String(SLOTS)];
    return [PROGRAMS.worker, HANDLERS, '--address', this.#linkAddress(name), ...slots, ...drain, ...more];
  }

  #linkAddress(name: string): string {
    const link = this.links.get(name);
    if (link === undefined) throw new Error(`${name} has no link`);
    return link.address;
  }

  /** What programs tell in their logs: that they work, and a supervisor how its children end. */
  #hear(seat: string, role: Role, line: Readonly<Record<string, unknown>>, pid: number): void {
    const { exit_code: code, signal, child_pid: childPid, index, msg } = line;
    // Its children's lines come with its own.
    if (line['pid'] !== pid) return;
    if (msg === (role === 'supervisor' ? 'supervising' : 'ready')) {
      this.#options.ledger.append({ is: 'ready', tMs: machineMs(), seat, pid });
      if (role === 'coordinator') this.#coordinatorReady();
    }
    if (typeof childPid !== 'number' || !('exit_code' in line)) return;
    this.#options.ledger.append({
      is: 'ended',
      tMs: machineMs(),
      seat: `${SUPERVISOR}/${String(index)}`,
      role: 'child',
      pid: childPid,
      code: typeof code === 'number' ? code : null,
      signal: typeof signal === 'string' ? signal : null,
      asked: null,
    });
  }
}

/** Whose number it is may have changed since. */
function isChildOf(pid: number, parentPid: number): boolean {
  if (!isAlive(pid)) return false;
  try {
    // PID (NAME) STATE PPID; the name may hold anything.
    return /\) \S (\d+) [^)]*$/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1] === String(parentPid);
  } catch {
    return process.platform !== 'linux';
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
