import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { FleetError } from '../../proto/fleet-error.js';
import { DevChild, type DevChildEnd } from './dev-child.js';
import { CliError, EXIT } from './exit-status.js';
import { LogFile } from './log-file.js';

/** What `remuda dev` runs. Paths are absolute. */
export interface DevFleetOptions {
  /** The programs' files. */
  readonly coordinatorScript: string;
  readonly workerScript: string;
  readonly handlers: string;
  /** The example handlers touch nothing outside it. */
  readonly root: string;
  /** Where the store and the logs are. */
  readonly data: string;
  readonly processes: number;
  /** Slots of one process. Undefined: the worker's default. */
  readonly slots: number | undefined;
  /** Undefined: the coordinator's default, or its variable. */
  readonly listen: string | undefined;
  readonly http: string | undefined;
  readonly env: NodeJS.ProcessEnv;
  /** Told what a person should see of a child. */
  readonly onAlarm: (name: string, text: string) => void;
}

/** Where the fleet is, once it is up. */
export interface DevFleetAddresses {
  readonly listen: string;
  /** Null: the coordinator serves no HTTP. */
  readonly http: string | null;
}

/** How long a start may take, in milliseconds. */
const COORDINATOR_READY_MS = 30_000;
const WORKERS_READY_MS = 60_000;
/** How long tasks may finish after Ctrl-C; the program's own 5 min are for servers. */
export const DEV_DRAIN_MS = 10_000;
/** Time for the aborted handlers, the reports and teardown after that. */
const WORKER_STOP_MS = DEV_DRAIN_MS + 15_000;
const COORDINATOR_STOP_MS = 10_000;
/** The workers of `dev` are `dev/0` and so on: stable across restarts, and told from others at the same coordinator. */
const WORKER_ID = 'dev';
/** Quieter ones would hide the line that is waited for. */
const LOG_LEVELS_KEPT = new Set(['trace', 'debug', 'info']);

/** A coordinator and a worker program as child processes. */
export class DevFleet {
  readonly #children: DevChild[] = [];
  readonly #logs: LogFile[] = [];
  readonly #stop = new AbortController();
  #fail: (error: CliError) => void = () => undefined;

  /** Rejects with a CliError of exit status 1 when a child ends without having been asked to. */
  readonly endedByItself: Promise<never>;

  /** @throws CliError with exit status 2 if the directory of the data cannot be used */
  constructor(private readonly options: DevFleetOptions) {
    try {
      mkdirSync(options.data, { recursive: true });
    } catch (error) {
      throw unusable(options.data, error);
    }
    this.endedByItself = new Promise((_resolve, reject) => {
      this.#fail = reject;
    });
    // Whoever waits for it hears of it; that nobody does yet is no fault.
    this.endedByItself.catch(() => undefined);
  }

  /**
   * Starts the coordinator, then the workers. Fulfilled when every worker is READY. Once.
   *
   * @param signal gives up; what was started is still to be stopped
   * @throws CliError with exit status 1 if a child ends by itself or is not ready in time; the reason of `signal` if aborted
   */
  async start(signal: AbortSignal): Promise<DevFleetAddresses> {
    return Promise.race([this.#start(AbortSignal.any([signal, this.#stop.signal])), this.endedByItself]);
  }

  async #start(signal: AbortSignal): Promise<DevFleetAddresses> {
    const addresses = await this.#startCoordinator(signal);
    const worker = this.#startWorker(addresses.listen);
    await this.#workersReady(worker, signal);
    return addresses;
  }

  /** Stops the workers, then the coordinator. Bounded: what does not stop in time is killed. */
  async stop(): Promise<void> {
    this.#stop.abort();
    const [coordinator, worker] = this.#children;
    await worker?.stop(WORKER_STOP_MS);
    await coordinator?.stop(COORDINATOR_STOP_MS);
    for (const log of this.#logs) log.close();
  }

  /** Ends all of it now. */
  kill(): void {
    this.#stop.abort();
    for (const child of this.#children) child.kill();
  }

  async #startCoordinator(signal: AbortSignal): Promise<DevFleetAddresses> {
    const { coordinatorScript, data, listen, http } = this.options;
    const coordinator = this.#startChild('coordinator', coordinatorScript, [
      `--store=sqlite:${join(data, 'remuda.db')}`,
      ...(listen === undefined ? [] : [`--listen=${listen}`]),
      ...(http === undefined ? [] : [`--http=${http}`]),
    ]);
    const limit = AbortSignal.any([signal, AbortSignal.timeout(COORDINATOR_READY_MS)]);
    const ready = await coordinator.line(({ fields }) => fields?.['msg'] === 'ready', limit);
    signal.throwIfAborted();
    if (ready === undefined) {
      if (coordinator.hasEnded) throw endedByItself(coordinator, await coordinator.ended);
      throw notReady(`the coordinator was not ready within ${COORDINATOR_READY_MS / 1000} s`, coordinator);
    }
    const { listen: address, http: httpAddress } = ready.fields ?? {};
    if (typeof address !== 'string') throw notReady('the coordinator did not say where it listens', coordinator);
    return { listen: address, http: typeof httpAddress === 'string' ? httpAddress : null };
  }

  #startWorker(address: string): DevChild {
    const { workerScript, handlers, processes, slots, root } = this.options;
    const args = [
      `--address=${address}`,
      `--processes=${processes}`,
      `--worker-id=${WORKER_ID}`,
      `--drain-timeout=${DEV_DRAIN_MS}ms`,
      // Whoever tries handlers out will block a loop some day; REMUDA_SESSION is meant for other workers.
      '--session=thread',
      ...(slots === undefined ? [] : [`--slots=${slots}`]),
      handlers,
    ];
    return this.#startChild('worker', workerScript, args, { REMUDA_EXAMPLES_ROOT: root });
  }

  /** Each process says `ready` once, with its worker_id, when the coordinator has welcomed it. */
  async #workersReady(worker: DevChild, signal: AbortSignal): Promise<void> {
    const { processes } = this.options;
    const ready = new Set<unknown>();
    const limit = AbortSignal.any([signal, AbortSignal.timeout(WORKERS_READY_MS)]);
    const last = await worker.line(({ fields }) => {
      if (fields?.['msg'] === 'ready') ready.add(fields['worker_id']);
      return ready.size >= processes;
    }, limit);
    signal.throwIfAborted();
    if (last !== undefined) return;
    if (worker.hasEnded) throw endedByItself(worker, await worker.ended);
    throw notReady(`${ready.size} of ${processes} workers were ready within ${WORKERS_READY_MS / 1000} s`, worker);
  }

  #startChild(name: string, script: string, args: readonly string[], extra: NodeJS.ProcessEnv = {}): DevChild {
    const { data, env, onAlarm } = this.options;
    let log: LogFile;
    try {
      log = new LogFile(join(data, `${name}.log`));
    } catch (error) {
      throw unusable(data, error);
    }
    this.#logs.push(log);
    const level = env['REMUDA_LOG_LEVEL'] ?? '';
    const child = new DevChild({
      name,
      script,
      args,
      env: { ...env, ...extra, REMUDA_LOG_LEVEL: LOG_LEVELS_KEPT.has(level) ? level : 'info' },
      log,
      onAlarm: (text) => onAlarm(name, text),
    });
    this.#children.push(child);
    void child.ended.then((end) => {
      if (!this.#stop.signal.aborted) this.#fail(endedByItself(child, end));
    });
    return child;
  }
}

function endedByItself(child: DevChild, { code, signal, error }: DevChildEnd): CliError {
  const how =
    error !== undefined
      ? `could not be started: ${error.message}`
      : signal !== null
        ? `was ended by ${signal}`
        : `ended by itself with status ${code ?? 'unknown'}`;
  return notReady(`the ${child.name} ${how}`, child, error);
}

function notReady(what: string, child: DevChild, cause?: unknown): CliError {
  const lines = child.lastLines.map((line) => `\n  ${line}`).join('');
  const said = lines === '' ? `its log is ${child.logPath}` : `its last lines, from ${child.logPath}:${lines}`;
  return new CliError(EXIT.failed, `${what}; ${said}`, cause === undefined ? undefined : { cause });
}

function unusable(data: string, error: unknown): CliError {
  const why = error instanceof Error ? error.message : FleetError.from(error).message;
  return new CliError(EXIT.usage, `the directory ${data} cannot be used (${why}); name another with --data DIR`);
}
