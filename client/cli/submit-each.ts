import { setMaxListeners } from 'node:events';
import { addAbortSignal } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { status as Code } from '@grpc/grpc-js';
import { FleetError } from '../../proto/fleet-error.js';
import { onAbort } from '../on-abort.js';
import { MAX_PAYLOAD_BYTES } from '../rpc.js';
import type { CliContext } from './cli-context.js';
import { eachInput, inputError, type EachInput } from './each-input.js';
import { CliError, errorText, EXIT, exitStatusOf } from './exit-status.js';
import { FlightWindow } from './flight-window.js';
import { jsonPayload, PayloadError, payloadTooLarge } from './json-payload.js';
import { payloadLines, type PayloadLine } from './payload-lines.js';
import { ProgressLine } from './progress-line.js';
import type { TaskRequest } from './task-request.js';
import { endedRow, NOT_AWAITED, rowText, type TaskRow } from './task-row.js';
import { TaskRunner, type EndedTask } from './task-runner.js';
import { exactTime } from './task-text.js';

/** Tasks under way unless --window says otherwise: enough to keep a fleet busy, and an input of any length out of memory. */
export const WINDOW_DEFAULT = 256;
/** The largest --window. */
export const WINDOW_MAX = 4_096;
/** How long a line is tried again that the coordinator has no room for. */
const FULL_MS = 60_000;
/** Payloads of tasks under way, together; a larger one goes alone. */
const WINDOW_BYTES = 64 * 1_048_576;

/** What to submit, and how. */
export interface EachRequest {
  readonly address: string;
  /** A file's path, or - for stdin. */
  readonly source: string;
  /** The task of a line. */
  readonly taskOf: (payload: Uint8Array) => TaskRequest;
  /** How many tasks may be under way. */
  readonly window: number;
  /** Undefined: until all tasks have ended. */
  readonly waitTimeoutMs: number | undefined;
  /** The command that lists the tasks later. */
  readonly listLine: string;
  readonly context: CliContext;
}

/**
 * Why a run ended before its input. `unwritten`: stdout takes no more rows. `failed`: the coordinator stays away, or the input
 * cannot be read.
 */
type Stop =
  { readonly why: 'interrupted' | 'timed out' | 'unwritten' } | { readonly why: 'failed'; readonly error: unknown };

/**
 * Runs a task for each line of an input and prints one row for each line that is not blank, in the order in which they end: a line
 * that is no payload has an error row, and the run goes on. Fulfilled with the exit status.
 *
 * @throws CliError with exit status 2 for a file that cannot be opened
 */
export async function submitEach(request: EachRequest): Promise<number> {
  return new EachRun(request, await eachInput(request.source, () => request.context.stdin)).run();
}

class EachRun {
  readonly #request: EachRequest;
  readonly #input: EachInput;
  readonly #runner: TaskRunner;
  readonly #window: FlightWindow;
  readonly #progress: ProgressLine;
  readonly #abort = new AbortController();
  #stop: Stop | undefined;
  #hasReadAll = false;
  #takenCount = 0;
  #runningCount = 0;
  #doneCount = 0;
  #failedCount = 0;
  #endedBytes = 0;

  constructor(request: EachRequest, input: EachInput) {
    const { address, context, window } = request;
    this.#request = request;
    this.#input = input;
    this.#window = new FlightWindow(window, WINDOW_BYTES);
    this.#progress = new ProgressLine(context.terminal, context.clock);
    this.#runner = new TaskRunner({
      ...{ address, context, maxInFlight: window, maxInFlightBytes: WINDOW_BYTES },
      onGone: () =>
        this.#progress.write(() =>
          context.terminal.note(
            'the coordinator went away; waiting for it to come back (the tasks under way are kept)',
          ),
        ),
    });
    // Every task under way listens; their number is bounded by the window.
    setMaxListeners(0, this.#abort.signal);
  }

  async run(): Promise<number> {
    const { context, waitTimeoutMs } = this.#request;
    const timer =
      waitTimeoutMs === undefined ? undefined : setTimeout(() => this.#end({ why: 'timed out' }), waitTimeoutMs);
    const offInterrupt = context.onInterrupt(() => this.#end({ why: 'interrupted' }));
    const offGone = onAbort(context.terminal.outGone, () => this.#end({ why: 'unwritten' }));
    try {
      await this.#readAll();
      await this.#window.empty();
    } finally {
      clearTimeout(timer);
      offInterrupt();
      offGone();
      await this.#runner[Symbol.asyncDispose]();
      this.#progress.clear();
    }
    return this.#conclude();
  }

  async #readAll(): Promise<void> {
    const { signal } = this.#abort;
    try {
      const pieces = addAbortSignal(signal, this.#input.stream) as AsyncIterable<Buffer>;
      for await (const line of payloadLines(pieces, MAX_PAYLOAD_BYTES)) {
        if (signal.aborted) return;
        await this.#take(line);
        // Whoever reads the rows slowly holds up the input.
        await this.#request.context.terminal.outDrained(signal);
      }
      this.#hasReadAll = true;
    } catch (error) {
      if (!signal.aborted) this.#end({ why: 'failed', error: inputError(this.#request.source, error) });
    }
  }

  async #take(line: PayloadLine): Promise<void> {
    const { number, content } = line;
    if (content !== undefined && content.every(isBlank)) {
      this.#endedBytes += line.inputBytes;
      return;
    }
    let payload: Uint8Array;
    try {
      if (content === undefined) throw payloadTooLarge(`line ${number}`, `${line.inputBytes}`);
      payload = jsonPayload(content, `line ${number}`);
    } catch (error) {
      if (!(error instanceof PayloadError)) throw error;
      this.#takenCount += 1;
      this.#row(line, { error: { reason: error.reason, message: error.message } });
      return;
    }
    await this.#window.enter(payload.byteLength);
    if (!this.#abort.signal.aborted) void this.#runTask(line, payload);
    else this.#window.leave(payload.byteLength);
  }

  async #runTask(line: PayloadLine, payload: Uint8Array): Promise<void> {
    const task = this.#request.taskOf(payload);
    this.#takenCount += 1;
    this.#runningCount += 1;
    this.#showProgress();
    let row: TaskRow;
    try {
      row = endedRow(task.taskId, await this.#runPatiently(task));
    } catch (error) {
      row = this.#errorRow(task.taskId, error);
    }
    this.#runningCount -= 1;
    this.#row(line, row);
    this.#window.leave(payload.byteLength);
  }

  /** A full queue is no fault of the line: it is tried again when the coordinator says, and holds up those behind it. */
  async #runPatiently(task: TaskRequest): Promise<EndedTask> {
    const { signal } = this.#abort;
    const { clock } = this.#request.context;
    const untilMs = clock.monoMs() + FULL_MS;
    for (;;) {
      try {
        return await this.#runner.run(task, signal);
      } catch (error) {
        const { code, retryDelayMs } = FleetError.from(error);
        if (code !== Code.RESOURCE_EXHAUSTED || retryDelayMs === undefined || clock.monoMs() + retryDelayMs > untilMs) {
          throw error;
        }
        await delay(retryDelayMs, undefined, { signal });
      }
    }
  }

  #errorRow(taskId: string, error: unknown): TaskRow {
    const fault = FleetError.from(error);
    // One task is refused for what it is; a coordinator that stays away is away for all.
    if (!this.#abort.signal.aborted && fault.code === Code.UNAVAILABLE) this.#end({ why: 'failed', error: fault });
    if (this.#stop === undefined) {
      return { task_id: taskId, error: { reason: fault.reason || (Code[fault.code] ?? ''), message: fault.message } };
    }
    return { task_id: taskId, error: { reason: NOT_AWAITED, message: 'nobody waited for its end; it may go on' } };
  }

  #end(stop: Stop): void {
    this.#stop ??= stop;
    this.#abort.abort();
  }

  #row({ number, inputBytes }: PayloadLine, row: TaskRow): void {
    this.#endedBytes += inputBytes;
    if (row.state === 'SUCCEEDED') this.#doneCount += 1;
    else if (row.error?.reason !== NOT_AWAITED) this.#failedCount += 1;
    this.#progress.write(() => this.#request.context.terminal.out(rowText(number, row)));
    this.#showProgress();
  }

  #showProgress(): void {
    const { sizeBytes } = this.#input;
    this.#progress.show({
      share: sizeBytes === undefined || sizeBytes === 0 ? undefined : this.#endedBytes / sizeBytes,
      doneCount: this.#doneCount + this.#failedCount,
      failedCount: this.#failedCount,
      runningCount: this.#runningCount,
    });
  }

  #conclude(): number {
    const { context, waitTimeoutMs, listLine } = this.#request;
    const { terminal } = context;
    const ended = this.#doneCount + this.#failedCount;
    const left = this.#takenCount - ended;
    const counts = `${count(this.#takenCount, 'line')} read, ${this.#doneCount} succeeded, ${this.#failedCount} failed`;
    // Who leaves when all has ended misses rows, and nothing else.
    const hasEnded = this.#stop?.why === 'unwritten' && this.#hasReadAll && left === 0;
    if (this.#stop === undefined || hasEnded) {
      if (this.#failedCount > 0 || terminal.isNoteInteractive) terminal.note(counts);
      return this.#failedCount > 0 ? EXIT.failed : EXIT.done;
    }
    const goOn = left === 0 ? 'nothing is under way' : `${left} under way, which go on; see them with: ${listLine}`;
    if (this.#stop.why === 'failed') {
      const { error } = this.#stop;
      const unknown = left === 0 ? '' : `, ${left} of which the end is not known; see them with: ${listLine}`;
      throw new CliError(exitStatusOf(error), `${errorText(error)}\n${counts}${unknown}`, { cause: error });
    }
    const [status, why] = {
      interrupted: [EXIT.interrupted, 'interrupted'] as const,
      'timed out': [EXIT.timedOut, `not all have ended within ${exactTime(waitTimeoutMs ?? 0)}`] as const,
      unwritten: [EXIT.unwritten, 'stdout takes no more rows'] as const,
    }[this.#stop.why];
    terminal.note(`${why}, nothing more is sent: ${counts}, ${goOn}`);
    return status;
  }
}

function isBlank(byte: number): boolean {
  return byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
