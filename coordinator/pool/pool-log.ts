import { Writable } from 'node:stream';
import { pino, type Logger } from 'pino';
import { within } from '../../proto/within.js';
import type { ChildOutput } from '../../worker/supervised-child.js';
import { childLines } from './child-lines.js';
import { LogWriter, type LogSink } from './log-writer.js';
import { openingFault, RotatingFile } from './rotating-file.js';
import { stampedLine } from './stamped-line.js';

/** Options of {@link openPoolLog}. */
export interface PoolLogOptions {
  /** Of the live file, absolute; its folder is made. False: no log at all. */
  readonly path: string | false;
  /** The least that the pool itself logs, as pino's; also `silent`. Output of workers is kept at any level. */
  readonly level: string;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
  /** A file that would grow past it is rotated. Default 10 MiB. */
  readonly maxBytes?: number;
  /** Full files that are kept beside the live one, `PATH.1` the newest; at least 1. Default 5. */
  readonly maxFiles?: number;
  /** Where lines go that cannot go into the file. Default: the process's stderr. */
  readonly stderr?: Writable;
}

/** The log of a pool, of itself and its workers: JSON lines in the form of pino. Nothing about it throws, blocks or waits for a disk. */
export interface PoolLog {
  readonly logger: Logger;
  /** Why there is no file, and what to do; undefined: there is one, or none is wanted. */
  readonly warning: string | undefined;
  /** Where a worker's output goes: streams of its own, written line by line, that ask to wait while the log is slow. */
  childOutput(workerId: string): ChildOutput;
  /** Writes what waits, for at most 2 s. What comes later goes nowhere. A repeat returns the same promise. */
  close(): Promise<void>;
}

const MAX_BYTES = 10 * 1_024 * 1_024;
const MAX_FILES = 5;

/** The most that is written at once, in bytes. */
const BATCH_BYTES_MAX = 256 * 1_024;

/** A disk that hangs must not keep the program from ending. */
const CLOSE_MS_MAX = 2_000;

const WARN = 40;

/**
 * Opens the log of a pool. If its file cannot be written, all of it goes to stderr, and `warning` says so. If the file fails later
 * (a full disk), lines are lost until it works again; then a line `lines-lost` says how many. Several pools may share a file.
 */
export function openPoolLog(options: PoolLogOptions): PoolLog {
  const { path, level, nowMs, maxBytes = MAX_BYTES, stderr = process.stderr } = options;
  if (path === false) return noLog();
  // A reader of stderr that has gone must not end the program.
  stderr.on('error', () => undefined);
  const tell = (msg: string, fields: Readonly<Record<string, unknown>>): void => {
    stderr.write(stampedLine(WARN, fields, msg));
  };
  const fault = openingFault(path);
  const busy = new Set<Writable>();
  let closing = false;
  let onIdle: () => void = () => undefined;
  const onBusy = (output: Writable, isBusy: boolean): void => {
    if (isBusy) busy.add(output);
    else busy.delete(output);
    if (busy.size === 0) onIdle();
  };
  const writer: LogWriter = new LogWriter({
    sink: fault === undefined ? fileSink({ ...options, path }, (line) => writer.write(line)) : streamSink(stderr),
    batchBytesMax: Math.min(BATCH_BYTES_MAX, maxBytes),
    nowMs,
    lossLine: (count, detail) => stampedLine(WARN, { count, detail }, 'lines-lost'),
    onFailing: ({ message }) => {
      const detail = `${message}; lines of the log are lost until it can be written again`;
      if (fault === undefined) tell('log-not-written', { path, detail });
    },
  });
  return {
    logger: pino({ level }, { write: (line) => (closing ? undefined : writer.write(line)) }),
    warning: fault === undefined ? undefined : warningOf(path, fault),
    childOutput: (workerId) => {
      const lines = (stream: 'stdout' | 'stderr'): Writable =>
        childLines({ workerId, stream, write: (text, onDone) => writer.writeInTurn(text, onDone), onBusy });
      return { stdout: lines('stdout'), stderr: lines('stderr') };
    },
    close: once(async () => {
      closing = true;
      // The last lines of the workers may still wait in their streams.
      const idle = new Promise<void>((resolve) => {
        onIdle = resolve;
        if (busy.size === 0) resolve();
      });
      await within(
        idle.then(() => writer.close()),
        CLOSE_MS_MAX,
      );
      if (writer.lost > 0) tell('lines-lost', { path, count: writer.lost });
    }),
  };
}

function noLog(): PoolLog {
  const nowhere = () => new Writable({ write: (_chunk, _encoding, done) => done() });
  return {
    logger: pino({ level: 'silent' }, nowhere()),
    warning: undefined,
    childOutput: () => ({ stdout: nowhere(), stderr: nowhere() }),
    close: () => Promise.resolve(),
  };
}

function fileSink(options: PoolLogOptions & { readonly path: string }, write: (line: string) => void): LogSink {
  const { path, maxBytes = MAX_BYTES, maxFiles = MAX_FILES, nowMs } = options;
  const onNotRotated = ({ message }: Error): void => {
    const detail = `${message}; it grows past ${maxBytes} bytes until that works: make its folder writable, or remove what is in the way`;
    write(stampedLine(WARN, { path, detail }, 'log-not-rotated'));
  };
  return new RotatingFile({ path, maxBytes, maxFiles, nowMs, onNotRotated });
}

function streamSink(stream: Writable): LogSink {
  return {
    append: (lines) =>
      new Promise((resolve) => {
        stream.write(lines, (error) => resolve({ bytes: error == null ? lines.length : 0, error: error ?? undefined }));
      }),
    close: () => Promise.resolve(),
  };
}

function warningOf(path: string, { message }: Error): string {
  return (
    `the pool's log ${path} cannot be written (${message}); it goes to stderr: ` +
    "name a file that can be, logFile: '/path/to/worker-pool.log', or have none, logFile: false"
  );
}

function once(act: () => Promise<void>): () => Promise<void> {
  let promise: Promise<void> | undefined;
  return () => (promise ??= act());
}
