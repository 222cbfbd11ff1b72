import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createClient, isFleetError, type Client, type TaskInfo } from '../../client/index.js';
import { hasEnded } from '../../client/task-info.js';
import { LEDGER_FOLDERS, LedgerFile, machineMs, type AuditLine, type ClientLine } from './ledger.js';
import { digestOf } from './task-kinds.js';

/** Between two rounds while the run goes on. */
const ROUND_MS = 5_000;
/** Acknowledged results are kept for ten minutes; tasks are asked about long before. */
const ROUND_TASKS_MAX = 2_000;
/** Calls at a time. */
const CALLS_AT_ONCE = 8;
/** The whole list at the end. */
const LIST_TRIES = 20;
const LIST_AGAIN_MS = 500;

/**
 * Asks the coordinator, past all links, what has become of the tasks that clients have seen end, and at the end of all there
 * are. Only this way is the history of those known that are not kept for as long as the run takes.
 */
export class Auditor implements AsyncDisposable {
  readonly #folder: string;
  readonly #file: LedgerFile<AuditLine>;
  readonly #client: Client;
  readonly #read = new Map<string, number>();
  /** Seen by their clients, and not asked about. */
  readonly #due: string[] = [];
  readonly submitted = new Set<string>();
  readonly seen = new Set<string>();

  constructor(ledgerFolder: string, address: string) {
    this.#folder = ledgerFolder;
    this.#file = new LedgerFile(join(ledgerFolder, LEDGER_FOLDERS.audits, 'auditor.jsonl'));
    this.#client = createClient({ address, waitForReady: true });
  }

  /** Asks in rounds. */
  async watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await delay(ROUND_MS, undefined, { signal }).catch(() => undefined);
      this.readClients();
      await this.#ask(this.#due.splice(0, ROUND_TASKS_MAX), signal);
    }
  }

  /** Asks about every task that the coordinator has, and about each of the clients' that it does not list. */
  async finish(signal: AbortSignal): Promise<void> {
    this.readClients();
    const listed = await this.#list();
    await this.#ask(
      [...this.submitted].filter((taskId) => !listed.has(taskId)),
      signal,
    );
  }

  /** Reads what clients have written since. */
  readClients(): void {
    const folder = join(this.#folder, LEDGER_FOLDERS.clients);
    for (const name of readdirSync(folder)) {
      const text = readFileSync(join(folder, name));
      const from = this.#read.get(name) ?? 0;
      const to = text.lastIndexOf('\n') + 1;
      this.#read.set(name, to);
      if (to > from) this.#take(text.subarray(from, to - 1).toString());
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.close();
    this.#file[Symbol.dispose]();
  }

  #take(lines: string): void {
    for (const text of lines.split('\n')) {
      const line = JSON.parse(text) as ClientLine;
      if (line.is === 'submitting') this.submitted.add(line.spec.taskId);
      if (line.is !== 'seen') continue;
      this.seen.add(line.taskId);
      this.#due.push(line.taskId);
    }
  }

  async #ask(taskIds: readonly string[], signal: AbortSignal): Promise<void> {
    const rest = taskIds.values();
    const askRest = async (): Promise<void> => {
      for (const taskId of rest) await this.#askOne(taskId, signal);
    };
    await Promise.all(Array.from({ length: CALLS_AT_ONCE }, askRest));
  }

  async #askOne(taskId: string, signal: AbortSignal): Promise<void> {
    try {
      this.#file.append(foundOf(await this.#client.get(taskId, { signal })));
    } catch (error) {
      if (!isFleetError(error)) throw error;
      if (error.reason === 'TASK_NOT_FOUND') this.#file.append(missing(taskId, 'UNKNOWN_TASK'));
      else if (error.reason === 'PURGED') this.#file.append(missing(taskId, 'PURGED'));
      // The coordinator is away: at the end it is asked again about all.
    }
  }

  async #list(): Promise<Set<string>> {
    for (let tries = 1; ; tries += 1) {
      try {
        const listed = new Set<string>();
        for await (const task of this.#client.list({ payloads: true, pageSize: 1_000 })) {
          listed.add(task.taskId);
          this.#file.append(foundOf(task));
        }
        return listed;
      } catch (error) {
        if (!isFleetError(error) || tries === LIST_TRIES) throw error;
        await delay(LIST_AGAIN_MS);
      }
    }
  }
}

function foundOf(task: TaskInfo): AuditLine {
  const { taskId, state, result, failure, attempts, waiting, endTime } = task;
  const last = attempts.at(-1);
  return {
    is: 'found',
    tMs: machineMs(),
    taskId,
    state,
    digest: state === 'SUCCEEDED' ? digestOf(result) : null,
    reason: failure?.reason ?? '',
    standing: hasEnded(state)
      ? ''
      : (waiting?.message ?? `attempt ${task.attempt} is with ${last?.workerId ?? 'nobody'}`),
    endTime: endTime?.toISOString() ?? '',
    attempts: attempts.map(({ attempt, workerId, outcome = '', charge = '', failure: why }) => ({
      attempt,
      workerId,
      outcome,
      charge,
      reason: why?.reason ?? '',
    })),
  };
}

function missing(taskId: string, state: 'UNKNOWN_TASK' | 'PURGED'): AuditLine {
  const nothing = { digest: null, reason: '', standing: '', endTime: '', attempts: [] };
  return { is: 'found', tMs: machineMs(), taskId, state, ...nothing };
}
