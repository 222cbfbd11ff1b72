import type { CliContext } from './cli-context.js';
import { EXIT } from './exit-status.js';

/**
 * The exit status of a command whose output has gone to stdout, or is lost, which is told on stderr. A reader that has seen enough
 * (`remuda workers | head -1`) is no error.
 */
export function statusWithOutput(status: number, { terminal, seeLine }: CliContext): number {
  if (!terminal.outGone.aborted) return status;
  const { code, message } = terminal.outGone.reason as NodeJS.ErrnoException;
  if (code === 'EPIPE') return status;
  const next =
    seeLine === undefined
      ? 'what was asked for is done all the same; make room, or write elsewhere'
      : `see it again with: ${seeLine}`;
  const head = terminal.noteStyle('red', 'remuda:');
  terminal.note(`${head} the output could not be written to stdout (${message}) and is lost; ${next}`);
  return status === EXIT.done ? EXIT.unwritten : status;
}
