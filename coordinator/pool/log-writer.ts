/** How far an append has come: so many bytes are in, and why not all. */
export interface Appended {
  readonly bytes: number;
  readonly error: Error | undefined;
}

/** Where lines end up. One append at a time. */
export interface LogSink {
  /** Whole lines, in one piece if that can be. Never rejects. */
  append(lines: Buffer): Promise<Appended>;
  /** Never rejects; may be repeated. */
  close(): Promise<void>;
}

/** What a {@link LogWriter} needs. */
export interface LogWriterOptions {
  readonly sink: LogSink;
  /** The most that goes into the sink at once, in bytes, if a single entry is no larger. */
  readonly batchBytesMax: number;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
  /** The line, with its end, that tells of lost ones. */
  readonly lossLine: (count: number, cause: string) => string;
  /** The sink refuses; told once until it takes lines again. */
  readonly onFailing: (error: Error) => void;
}

interface Entry {
  readonly text: string;
  readonly bytes: number;
  /** For those who wait: the lines are in the sink, or lost. Undefined: nobody waits, and the entry counts against the bound. */
  readonly onDone: (() => void) | undefined;
}

/** Lines of those who cannot wait, in bytes, before they are in the sink; more are lost, and counted. */
const WAITING_BYTES_MAX = 4 * 1_024 * 1_024;

/** How long lines are lost after a failure before the sink is asked again: each attempt may cost a slow system call. */
const RETRY_MS = 1_000;

/**
 * Brings lines into a sink in their order, many at a time when they come faster than it takes them. What fails or is too much is
 * lost, counted, and told by a line of its own as soon as one can be written: a log must neither stop a program nor fill it.
 */
export class LogWriter {
  readonly #options: LogWriterOptions;
  #queue: Entry[] = [];
  #waitingBytes = 0;
  #lost = 0;
  #cause = '';
  #isFailing = false;
  #retryMs = -Infinity;
  #running: Promise<void> | undefined;
  #closed: Promise<void> | undefined;

  constructor(options: LogWriterOptions) {
    this.#options = options;
  }

  /** Lines that are lost and not told yet. */
  get lost(): number {
    return this.#lost;
  }

  /** A line, with its end, of somebody who cannot wait. After {@link close} it goes nowhere. */
  write(line: string): void {
    if (this.#closed !== undefined) return;
    const bytes = Buffer.byteLength(line);
    if (this.#waitingBytes + bytes > WAITING_BYTES_MAX) {
      this.#lost += 1;
      if (!this.#isFailing) this.#cause = 'lines came faster than they could be written';
      this.#start();
      return;
    }
    this.#waitingBytes += bytes;
    this.#add({ text: line, bytes, onDone: undefined });
  }

  /** Lines, each with its end, of somebody who gives the next ones only after `onDone`: that bounds them. */
  writeInTurn(lines: string, onDone: () => void): void {
    if (this.#closed === undefined) this.#add({ text: lines, bytes: Buffer.byteLength(lines), onDone });
    else onDone();
  }

  /** Writes what waits, tells what is lost, and closes the sink. A repeat returns the same promise. */
  close(): Promise<void> {
    this.#closed ??= this.#finish();
    return this.#closed;
  }

  async #finish(): Promise<void> {
    // The last chance for what waits, however lately the sink has failed.
    this.#retryMs = -Infinity;
    await this.#running;
    if (this.#lost > 0) await this.#append([]);
    await this.#options.sink.close();
  }

  #add(entry: Entry): void {
    this.#queue.push(entry);
    this.#start();
  }

  #start(): void {
    this.#running ??= this.#run();
  }

  async #run(): Promise<void> {
    // What the same turn of the loop writes goes together.
    await Promise.resolve();
    while (this.#queue.length > 0 || (this.#lost > 0 && !this.#isFailing)) {
      const entries = this.#take();
      if (entries.length === 0 || this.#options.nowMs() >= this.#retryMs) await this.#append(entries);
      else this.#lost += lineCount(Buffer.from(textOf(entries)));
      for (const { bytes, onDone } of entries) {
        if (onDone === undefined) this.#waitingBytes -= bytes;
        else onDone();
      }
    }
    this.#running = undefined;
  }

  #take(): Entry[] {
    let count = 0;
    let bytes = 0;
    for (const entry of this.#queue) {
      bytes += entry.bytes;
      if (count > 0 && bytes > this.#options.batchBytesMax) break;
      count += 1;
    }
    return this.#queue.splice(0, count);
  }

  async #append(entries: readonly Entry[]): Promise<void> {
    const { sink, lossLine, nowMs, onFailing } = this.#options;
    const told = this.#lost;
    const head = Buffer.from(told > 0 ? lossLine(told, this.#cause) : '');
    const lines = Buffer.concat([head, Buffer.from(textOf(entries))]);
    const { bytes, error } = await sink.append(lines);
    if (bytes >= head.length) this.#lost -= told;
    if (error === undefined) {
      this.#isFailing = false;
      return;
    }
    this.#lost += lineCount(lines.subarray(Math.max(bytes, head.length)));
    this.#cause = error.message;
    this.#retryMs = nowMs() + RETRY_MS;
    if (!this.#isFailing) onFailing(error);
    this.#isFailing = true;
  }
}

function textOf(entries: readonly Entry[]): string {
  return entries.map(({ text }) => text).join('');
}

/** Counts their ends, so that a line of which only a part is in counts as lost. */
function lineCount(lines: Buffer): number {
  let count = 0;
  for (let at = lines.indexOf(0x0a); at !== -1; at = lines.indexOf(0x0a, at + 1)) count += 1;
  return count;
}
