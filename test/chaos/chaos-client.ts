/**
 * A client process of a chaos run: `chaos-client.js TERMS`, TERMS as JSON. It submits tasks until it is told to finish, waits for
 * all of them, and exits with 0. Killed and started again it takes up what its ledger says is open, as a careful program would.
 */
import { existsSync, readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { status as Code } from '@grpc/grpc-js';
import { v7 as uuidv7 } from 'uuid';
import { createClient, isFleetError, isTaskFailedError, RpcChannel, type FleetError } from '../../client/index.js';
import { encodeTask, RUN_OPTION_NAMES } from '../../client/encode-task.js';
import { taskInfo } from '../../client/task-info.js';
import { OnAbandon, TaskService } from '../../proto/gen/remuda/v1/task_service_pb.js';
import { PayloadView } from '../../proto/gen/remuda/v1/payload_pb.js';
import { Prng } from '../sim/random.js';
import { FINISH_LINE } from './seat.js';
import { LedgerFile, machineMs, readLines, type ClientLine, type EndSeen } from './ledger.js';
import { digestOf, drawTask, optionsOf, payloadOf, typeOf, type TaskSpec, type TaskVia } from './task-kinds.js';

/** What the process is told. */
export interface ClientTerms {
  readonly address: string;
  /** Its own file of the ledger, `NAME.START.jsonl`; those of its earlier starts lie beside it. */
  readonly ledger: string;
  readonly seed: number;
  /** Tasks a second. */
  readonly rate: number;
  readonly vias: readonly TaskVia[];
}

/** Tasks that are open at a time, at most: what comes beyond is not submitted. */
const OPEN_MAX = 400;
/** Before a call that failed is repeated; longer each time. */
const AGAIN_MS = [100, 500] as const;
const AGAIN_TIMES_MAX = 8;
const CANCEL_TRIES = 20;

/** Reasons of refusals that no repeat would change, with the one kind of task that may meet them. */
const TOO_LATE = new Set(['DEADLINE_PASSED', 'INVALID_TASK']);

class ChaosClient implements AsyncDisposable {
  readonly #terms: ClientTerms;
  readonly #file: LedgerFile<ClientLine>;
  readonly #prng: Prng;
  readonly #client;
  readonly #channel: RpcChannel;
  readonly #open = new Set<Promise<void>>();
  /** Acknowledged. */
  readonly #known = new Set<string>();

  constructor(terms: ClientTerms) {
    this.#terms = terms;
    this.#file = new LedgerFile(terms.ledger);
    this.#prng = new Prng(terms.seed);
    this.#client = createClient({ address: terms.address, waitForReady: true });
    this.#channel = new RpcChannel(terms.address);
  }

  /** Takes up what earlier starts have left. */
  resume(): void {
    const { submitted, acknowledged } = openTasks(this.#terms.ledger);
    for (const spec of submitted.values()) this.#begin(spec, acknowledged.has(spec.taskId));
  }

  /** Submits until told otherwise. */
  async work(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const waited = await delay(this.#prng.gap(1_000 / this.#terms.rate), true, { signal }).catch(() => false);
      if (waited && this.#open.size < OPEN_MAX) this.#begin(drawTask(this.#prng, this.#terms.vias, Date.now()), false);
    }
  }

  /** Until all that it has submitted has ended. */
  async rest(): Promise<void> {
    while (this.#open.size > 0) await Promise.all(this.#open);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.close();
    this.#channel.close();
  }

  #begin(spec: TaskSpec, isAcknowledged: boolean): void {
    const open = this.#see(spec, isAcknowledged).finally(() => this.#open.delete(open));
    this.#open.add(open);
  }

  /** To its end, however often calls fail on the way. */
  async #see(spec: TaskSpec, isAcknowledged: boolean): Promise<void> {
    const { taskId } = spec;
    if (isAcknowledged) this.#known.add(taskId);
    let cancels = spec.cancelAfterMs !== null;
    for (let times = 1; ; times = Math.min(2 * times, AGAIN_TIMES_MAX)) {
      try {
        await this.#submit(spec);
        if (cancels) void this.#cancel(spec);
        cancels = false;
        const seen = await this.#endOf(spec);
        this.#file.append({ is: 'seen', tMs: machineMs(), taskId, ...seen });
        this.#known.delete(taskId);
        return;
      } catch (error) {
        if (!isFleetError(error)) throw error;
        if (await this.#isOver(spec, error)) return;
        await delay(times * this.#prng.int(...AGAIN_MS));
      }
    }
  }

  async #submit(spec: TaskSpec): Promise<void> {
    const { taskId, via } = spec;
    if (this.#known.has(taskId)) return;
    this.#file.append({ is: 'submitting', tMs: machineMs(), spec });
    if (via !== 'submit') return;
    await this.#client.submit(typeOf(spec), payloadOf(spec), optionsOf(spec));
    this.#file.append({ is: 'acknowledged', tMs: machineMs(), taskId });
    this.#known.add(taskId);
  }

  async #endOf(spec: TaskSpec): Promise<EndSeen> {
    if (spec.via === 'call-keep' || spec.via === 'call-cancel') return this.#call(spec);
    try {
      const result = this.#known.has(spec.taskId)
        ? await this.#client.result(spec.taskId)
        : await this.#client.run(typeOf(spec), payloadOf(spec), optionsOf(spec));
      return { state: 'SUCCEEDED', digest: digestOf(result), reason: '' };
    } catch (error) {
      if (!isTaskFailedError(error)) throw error;
      return { state: error.state, digest: null, reason: error.reason };
    }
  }

  async #call(spec: TaskSpec): Promise<EndSeen> {
    const terms = { maxPayloadBytes: 1_048_576, nowMs: machineMs(), nowWallMs: Date.now(), newTaskId: uuidv7 };
    const { task } = encodeTask(typeOf(spec), payloadOf(spec), optionsOf(spec), RUN_OPTION_NAMES, terms);
    const onAbandon = spec.via === 'call-keep' ? OnAbandon.KEEP : OnAbandon.CANCEL;
    const request = { task, onAbandon, payloadView: PayloadView.DATA };
    const answer = await this.#channel.call(TaskService.method.runTask, request, { timeoutMs: null });
    if (answer.task === undefined) throw new Error(`RunTask ${spec.taskId} answered without a task`);
    const { state, result, failure } = taskInfo(answer.task);
    return { state, digest: state === 'SUCCEEDED' ? digestOf(result) : null, reason: failure?.reason ?? '' };
  }

  /** Until the coordinator knows of the cancel, or the task is over; a plain call may be cancelled before it has arrived. */
  async #cancel({ taskId, cancelAfterMs }: TaskSpec): Promise<void> {
    let waitMs = cancelAfterMs ?? 0;
    for (let tries = 0; tries < CANCEL_TRIES; tries += 1) {
      await delay(waitMs);
      waitMs = this.#prng.int(...AGAIN_MS);
      try {
        await this.#client.cancel(taskId);
        return;
      } catch (error) {
        if (!isFleetError(error)) throw error;
        if (error.reason === 'TASK_ENDED') return;
        if (error.reason !== 'TASK_NOT_FOUND' || this.#known.has(taskId)) this.#trouble(taskId, error);
      }
    }
  }

  /** True if the error says that there is nothing to wait for. */
  async #isOver(spec: TaskSpec, error: FleetError): Promise<boolean> {
    const { taskId, deadline } = spec;
    this.#trouble(taskId, error);
    const isTooLate = deadline !== null && Date.parse(deadline) <= Date.now() && TOO_LATE.has(error.reason);
    if (this.#known.has(taskId) || !isTooLate) return false;
    // An earlier try may have arrived all the same.
    const there = await this.#client.get(taskId).then(
      () => true,
      (answer: unknown) => !isFleetError(answer) || !['TASK_NOT_FOUND', 'PURGED'].includes(answer.reason),
    );
    if (there) this.#begin({ ...spec, via: 'submit' }, true);
    else this.#file.append({ is: 'refused', tMs: machineMs(), taskId, reason: error.reason });
    return true;
  }

  #trouble(taskId: string, error: FleetError): void {
    const { code, message } = error;
    // A call that took too long has no reason of its own.
    const reason = error.reason || (Code[code] ?? '');
    this.#file.append({ is: 'trouble', tMs: machineMs(), taskId, reason, message });
  }
}

/** What the files of the same client say is not over. */
function openTasks(path: string) {
  const [name = ''] = basename(path).split('.');
  const folder = dirname(path);
  const submitted = new Map<string, TaskSpec>();
  const acknowledged = new Set<string>();
  const over = new Set<string>();
  for (const file of readdirSync(folder).filter((other) => other.startsWith(`${name}.`))) {
    for (const line of readLines<ClientLine>(join(folder, file))) {
      if (line.is === 'submitting') submitted.set(line.spec.taskId, line.spec);
      else if (line.is === 'acknowledged') acknowledged.add(line.taskId);
      else if (line.is === 'seen' || line.is === 'refused') over.add(line.taskId);
    }
  }
  for (const taskId of over) submitted.delete(taskId);
  return { submitted, acknowledged };
}

const terms = JSON.parse(process.argv[2] ?? '{}') as ClientTerms;
if (!existsSync(dirname(terms.ledger))) throw new Error(`no folder for ${terms.ledger}`);
const stop = new AbortController();
let said = '';
process.stdin
  .setEncoding('utf8')
  .on('data', (text: string) => (said += text))
  .on('end', () => (said === FINISH_LINE ? stop.abort() : process.exit(1)));
await using client = new ChaosClient(terms);
client.resume();
await client.work(stop.signal);
await client.rest();
