import { constants, createReadStream, openSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { CliError, EXIT } from './exit-status.js';
import { printable } from './terminal.js';

/** Where lines come from. */
export interface EachInput {
  readonly stream: Readable;
  /** Undefined where it is not known before the end. */
  readonly sizeBytes: number | undefined;
}

/**
 * Opens a file or a FIFO, or takes stdin for -.
 *
 * @throws CliError with exit status 2 for what cannot be opened
 */
export async function eachInput(source: string, stdin: () => Readable): Promise<EachInput> {
  if (source === '-') return { stream: stdin(), sizeBytes: undefined };
  try {
    const stats = await stat(source);
    if (stats.isDirectory()) throw new Error('it is a directory');
    if (stats.isFIFO()) return { stream: openFifo(source), sizeBytes: undefined };
    return { stream: createReadStream(source), sizeBytes: stats.isFile() ? stats.size : undefined };
  } catch (error) {
    throw inputError(source, error);
  }
}

/** An input that cannot be read. */
export function inputError(source: string, error: unknown): CliError {
  const why = error instanceof Error ? error.message : String(error);
  const from = source === '-' ? 'stdin' : printable(source);
  const message = `the lines cannot be read from ${from}: ${why}; check the path, or pass them in on stdin (--each -)`;
  return new CliError(EXIT.usage, message, { cause: error });
}

/**
 * A plain open waits for the FIFO's writer in a thread, and a process does not end before its threads: neither Ctrl-C nor a
 * time-out would end this one. A socket waits in the event loop.
 */
function openFifo(path: string): Readable {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  return new Socket({ fd, readable: true, writable: false });
}
