import { Writable } from 'node:stream';
import { stampedLine } from './stamped-line.js';

/** Whose output it is, and where it goes. */
export interface ChildLinesOptions {
  readonly workerId: string;
  readonly stream: 'stdout' | 'stderr';
  /** Takes lines, each with its end; the next ones come after `onDone`. */
  readonly write: (lines: string, onDone: () => void) => void;
  /** Lines wait in the stream, or no more. */
  readonly onBusy: (stream: Writable, isBusy: boolean) => void;
}

/** Characters that wait in a stream before its writer is asked to wait. */
const BUFFER_CHARS_MAX = 65_536;

/** Lines that are made at a time: a worker that prints without end must not hold up the thread, which has a coordinator too. */
const SLICE_LINES = 512;

/** As pino counts levels: what a worker prints is info, what it prints to stderr is a warning. */
const LEVELS = { stdout: 30, stderr: 40 };

/**
 * The log's end of a worker's output: each write is a line, or several. A line of the log's own form (a JSON object with `level`
 * and `msg`) passes as it is, with its `worker_id`; any other becomes the `msg` of one. While the log is slow the writer waits,
 * and no other.
 */
export function childLines({ workerId, stream, write, onBusy }: ChildLinesOptions): Writable {
  const pass = (lines: readonly string[], done: () => void, from = 0): void => {
    const to = from + SLICE_LINES;
    const slice = lines.slice(from, to).map((line) => logLine(line, workerId, stream));
    write(slice.join(''), to < lines.length ? () => pass(lines, done, to) : done);
  };
  const take = (lines: readonly string[], done: () => void): void => {
    onBusy(output, true);
    pass(lines, () => {
      done();
      if (output.writableLength === 0) onBusy(output, false);
    });
  };
  const output: Writable = new Writable({
    highWaterMark: BUFFER_CHARS_MAX,
    decodeStrings: false,
    write: (chunk: string | Buffer, _encoding, done) => take(linesOf(chunk), done),
    writev: (chunks, done) => {
      const written: readonly { readonly chunk: string | Buffer }[] = chunks;
      take(
        written.flatMap(({ chunk }) => linesOf(chunk)),
        done,
      );
    },
  });
  return output;
}

/** A last line without an end counts. */
function linesOf(chunk: string | Buffer): string[] {
  const lines = chunk.toString().split('\n');
  if (lines.at(-1) === '') lines.pop();
  return lines;
}

function logLine(line: string, workerId: string, stream: 'stdout' | 'stderr'): string {
  const text = line.trimEnd();
  const known = parseLine(text);
  if (known === undefined)
    return stampedLine(LEVELS[stream], { worker_id: workerId, pool_pid: process.pid, stream }, text);
  // Whatever else it says of itself: of two the last counts.
  if (known.worker_id === workerId) return `${text}\n`;
  return `${text.slice(0, -1)},"worker_id":${JSON.stringify(workerId)}}\n`;
}

/** Undefined: not of the log's own form. */
function parseLine(text: string): { readonly worker_id?: unknown } | undefined {
  if (!text.startsWith('{') || !text.endsWith('}')) return undefined;
  try {
    const value = JSON.parse(text) as {
      readonly level?: unknown;
      readonly msg?: unknown;
      readonly worker_id?: unknown;
    };
    return typeof value.level === 'number' && typeof value.msg === 'string' ? value : undefined;
  } catch {
    return undefined;
  }
}
