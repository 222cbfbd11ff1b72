/** The shipped units in a container, as docs/deploy/systemd says to install them, and what tests need around them. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Container, PACKAGE } from './container.js';
import { eventually } from './eventually.js';
import type { Unit } from './unit.js';

export const COORDINATOR = 'remuda-coordinator.service';
export const SOCKET = 'remuda-coordinator.socket';
/** Where `npm run test:systemd` leaves what `systemctl status` and `journalctl` said in each scenario, if somebody wants it. */
const LOG_ENV = 'REMUDA_SYSTEMD_LOG';

const UNITS = `${PACKAGE}/docs/deploy/systemd`;
const UNIT_FOLDER = '/etc/systemd/system';
/** The StateDirectory= of the workers. */
const WORKER_FOLDER = '/var/lib/remuda-worker';
const LEDGER = `${WORKER_FOLDER}/ledger`;
const RELEASE = `${WORKER_FOLDER}/release`;
const WAIT_MS = 30_000;
/** Of a scenario that fails. */
const JOURNAL_LINES = 60;

/** One start of a handler. */
export interface LedgerEntry {
  readonly type: string;
  readonly taskId: string;
  readonly attempt: number;
  readonly pid: number;
}

/** A task as `remuda submit --each` tells its end. */
export interface EndedTask {
  readonly task_id: string;
  readonly state: string;
  readonly result?: unknown;
}

type Variables = Readonly<Record<string, string | number>>;

export function workerUnit(instance: string): string {
  return `remuda-worker@${instance}.service`;
}

/** A booted machine with the units installed, nothing started. */
export class Fleet {
  private constructor(readonly container: Container) {}

  static async boot(): Promise<Fleet> {
    const container = await Container.boot();
    try {
      const fleet = new Fleet(container);
      await container.output(['sh', '-ec', INSTALL]);
      await fleet.coordinatorEnv({});
      await fleet.workerEnv(null, {});
      await container.output(['systemctl', 'daemon-reload']);
      return fleet;
    } catch (error) {
      await container.shutdown();
      throw error;
    }
  }

  get coordinator(): Unit {
    return this.container.unit(COORDINATOR);
  }

  get socket(): Unit {
    return this.container.unit(SOCKET);
  }

  worker(instance: string): Unit {
    return this.container.unit(workerUnit(instance));
  }

  /** Writes coordinator.env anew. */
  async coordinatorEnv(variables: Variables): Promise<void> {
    await this.container.writeFile('/etc/remuda/coordinator.env', envFile(variables));
  }

  /** Writes the file of an instance anew; null: that of all. */
  async workerEnv(instance: string | null, variables: Variables): Promise<void> {
    const common = { REMUDA_HANDLERS: `${PACKAGE}/test/systemd/handlers.mjs`, LEDGER, RELEASE };
    const name = instance === null ? 'worker' : `worker-${instance}`;
    const all = instance === null ? { ...common, ...variables } : variables;
    await this.container.writeFile(`/etc/remuda/${name}.env`, envFile(all));
  }

  /** A drop-in, as `systemctl edit` makes one. */
  async dropIn(unit: string, text: string): Promise<void> {
    await this.container.writeFile(`${UNIT_FOLDER}/${unit}.d/test.conf`, text);
    await this.container.output(['systemctl', 'daemon-reload']);
  }

  /** The id of a new task. */
  async submit(type: string, payload: unknown = null): Promise<string> {
    return (await this.container.output(['remuda', 'submit', type, JSON.stringify(payload)])).trim();
  }

  /** Submits a task for each payload, and waits for the ends of all. */
  async submitEach(type: string, payloads: readonly unknown[], timeoutMs = 60_000): Promise<EndedTask[]> {
    const stdin = payloads.map((payload) => `${JSON.stringify(payload)}\n`).join('');
    const text = await this.container.output(['remuda', 'submit', type, '--each', '-'], { stdin, timeoutMs });
    return text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as EndedTask);
  }

  /** Waits for the end of a task; its state. */
  async ended(taskId: string, timeoutMs = WAIT_MS): Promise<string> {
    const look = async (): Promise<string | undefined> => {
      const { stdout } = await this.container.run(['remuda', 'get', taskId, '--json']);
      return /"state": ?"TASK_STATE_(SUCCEEDED|CANCELLED|EXPIRED|DEAD_LETTERED)"/.exec(stdout)?.[1];
    };
    return eventually(look, `end of task ${taskId}`, timeoutMs);
  }

  async ledger(): Promise<LedgerEntry[]> {
    const text = (await this.container.readFile(LEDGER)) ?? '';
    return (
      text
        .split('\n')
        // The last may be half written.
        .slice(0, -1)
        .map((line) => JSON.parse(line) as LedgerEntry)
    );
  }

  /** Waits until handlers have been entered for this task so often. */
  async entered(taskId: string, count: number, timeoutMs = WAIT_MS): Promise<LedgerEntry[]> {
    return this.enteredBy((entry) => entry.taskId === taskId, count, timeoutMs);
  }

  async enteredBy(counts: (entry: LedgerEntry) => boolean, count: number, timeoutMs = WAIT_MS): Promise<LedgerEntry[]> {
    const look = async (): Promise<LedgerEntry[] | undefined> => {
      const entries = (await this.ledger()).filter(counts);
      return entries.length >= count ? entries : undefined;
    };
    return eventually(look, `${count} starts of a handler`, timeoutMs, async () => this.#states());
  }

  /** Starts the coordinator and the worker `a`, in which a task runs until {@link release}. */
  async holdTask(): Promise<{ readonly worker: Unit; readonly taskId: string }> {
    await this.coordinator.start();
    const worker = this.worker('a');
    await worker.start();
    const taskId = await this.submit('hold');
    await this.entered(taskId, 1);
    return { worker, taskId };
  }

  /** Lets `hold` handlers return. */
  async release(): Promise<void> {
    await this.container.writeFile(RELEASE, '');
  }

  /** Keeps what a person would see now, for the documentation. */
  async record(scenario: string): Promise<void> {
    const folder = process.env[LOG_ENV];
    if (folder === undefined) return;
    await mkdir(folder, { recursive: true });
    const units = ['list-units', '--all', '--plain', '--no-legend', '--no-pager', 'remuda-*.service'];
    const loaded = (await this.container.output(['systemctl', ...units])).split('\n').filter((line) => line !== '');
    const parts = [];
    // One that has ended well is not loaded any more.
    const names = new Set([COORDINATOR, workerUnit('a'), ...loaded.map((line) => line.split(' ')[0] ?? '')]);
    for (const name of names) {
      parts.push(`$ systemctl status ${name}`, await this.container.unit(name).status());
      parts.push(`$ journalctl --unit=${name}`, await this.container.journal(name));
    }
    await writeFile(join(folder, `${scenario}.txt`), parts.join('\n'));
  }

  async #states(): Promise<string> {
    return this.container.output(['systemctl', 'status', '--no-pager', '--all', 'remuda-*']).catch(String);
  }
}

const INSTALL = `
mkdir -p /etc/sysusers.d /etc/tmpfiles.d /etc/remuda ${UNIT_FOLDER}
cp ${UNITS}/remuda.sysusers.conf /etc/sysusers.d/remuda.conf
systemd-sysusers
cp ${UNITS}/remuda.tmpfiles.conf /etc/tmpfiles.d/remuda.conf
systemd-tmpfiles --create remuda.conf
cp ${UNITS}/*.service ${UNITS}/*.socket ${UNITS}/*.target ${UNIT_FOLDER}
`;

/** Runs a scenario on a fleet of its own. When it fails, the message has what the journal says. */
export async function onFleet(scenario: string, run: (fleet: Fleet) => Promise<void>): Promise<void> {
  const fleet = await Fleet.boot();
  try {
    await run(fleet);
    await fleet.record(scenario);
  } catch (error) {
    const journal = [
      'journalctl',
      '--no-pager',
      '--output=short-precise',
      `--lines=${JOURNAL_LINES}`,
      '--unit=remuda-*',
    ];
    const { stdout } = await fleet.container.run(journal);
    if (error instanceof Error) error.message += `\n${stdout}`;
    throw error;
  } finally {
    await fleet.container.shutdown();
  }
}

function envFile(variables: Variables): string {
  return Object.entries(variables)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('');
}
