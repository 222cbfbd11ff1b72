import type { FleetError } from '../../proto/fleet-error.js';
import type { CliContext } from './cli-context.js';
import { errorText, EXIT } from './exit-status.js';

/** What became of one of several. */
export interface BatchItem {
  readonly taskId: string;
  /** Set if it was refused. */
  readonly error: FleetError | undefined;
}

/** Says on stderr which of several were refused, and why. The exit status: 5 if any was, whatever became of the others. */
export function tellRefused(items: readonly BatchItem[], { terminal }: CliContext): number {
  const refused = items.flatMap(({ taskId, error }) => (error === undefined ? [] : [{ taskId, error }]));
  for (const { taskId, error } of refused) {
    terminal.note(`${terminal.noteStyle('red', 'remuda:')} ${taskId}: ${errorText(error)}`);
  }
  if (refused.length > 0 && items.length > 1) terminal.note(`${refused.length} of ${items.length} were refused`);
  return refused.length > 0 ? EXIT.refused : EXIT.done;
}

/** A list in pieces of at most so many. */
export function chunksOf<T>(list: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(list.length / size) }, (_, index) =>
    list.slice(index * size, (index + 1) * size),
  );
}
