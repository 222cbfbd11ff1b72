import { once } from 'node:events';
import { styleText } from 'node:util';

/** How a text can stand out. */
export type Style = 'bold' | 'dim' | 'red' | 'yellow' | 'green' | 'cyan';

/** Where a command writes: results to stdout, everything about them to stderr. */
export interface Terminal {
  /** True if a person looks at stdout. */
  readonly isInteractive: boolean;
  /** How wide stdout is, in columns; undefined if it is no terminal. */
  readonly columns: number | undefined;
  /** True if a person looks at stderr. */
  readonly isNoteInteractive: boolean;
  /** How wide stderr is, in columns; undefined if it is no terminal. */
  readonly noteColumns: number | undefined;
  /** Aborted once stdout takes nothing more: it is full, or nobody reads it. The reason is the error. */
  readonly outGone: AbortSignal;
  /** Writes to stdout. */
  out(text: string | Uint8Array): void;
  /**
   * Fulfilled once what was written to stdout has gone so far that more may come. Whoever writes without end waits for it.
   *
   * @throws AbortError once `signal` is aborted; the error of the write once stdout takes nothing more
   */
  outDrained(signal: AbortSignal): Promise<void>;
  /** Fulfilled once all that was written to stdout has gone, or is lost. */
  outFlushed(): Promise<void>;
  /** Writes a line to stderr. */
  note(text: string): void;
  /** Writes to stderr as it is, without a line feed. */
  noteRaw(text: string): void;
  /** Text for stdout, coloured if stdout is a terminal. */
  outStyle(style: Style, text: string): string;
  /** Text for stderr, coloured if stderr is a terminal. */
  noteStyle(style: Style, text: string): string;
}

/** The process's own streams. NO_COLOR (any value) switches colours off. */
export function processTerminal({ stdout, stderr, env }: NodeJS.Process): Terminal {
  const plain = (env['NO_COLOR'] ?? '') !== '' || env['TERM'] === 'dumb';
  const styler = (stream: NodeJS.WriteStream) => (style: Style, text: string) =>
    stream.isTTY && !plain ? styleText(style, text) : text;
  const outGone = new AbortController();
  const fail = (error: Error) => outGone.abort(error);
  // The call-back of a write comes before the event, and before those of the writes behind it.
  const onWritten = (error: Error | null | undefined) => error && fail(error);
  stdout.on('error', fail);
  // Then there is nobody to tell, and the exit status is all that counts.
  stderr.on('error', () => undefined);
  return {
    isInteractive: stdout.isTTY,
    // Getters: a window changes its size while something runs in it.
    get columns() {
      return stdout.isTTY ? stdout.columns : undefined;
    },
    isNoteInteractive: stderr.isTTY && env['TERM'] !== 'dumb',
    get noteColumns() {
      return stderr.isTTY ? stderr.columns : undefined;
    },
    outGone: outGone.signal,
    out: (text) => void stdout.write(text, onWritten),
    outDrained: async (signal) => {
      if (stdout.writableNeedDrain) await once(stdout, 'drain', { signal });
    },
    // Writes are called back in their order.
    outFlushed: () => new Promise((done) => stdout.write('', () => done())),
    noteRaw: (text) => void stderr.write(text),
    note: (text) => void stderr.write(`${text}\n`),
    outStyle: styler(stdout),
    noteStyle: styler(stderr),
  };
}

/** Text of a peer, without what would steer the terminal. Line ends and tabs stay. */
export function printable(text: string): string {
  // eslint-disable-next-line no-control-regex -- control characters are what it is about
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}
