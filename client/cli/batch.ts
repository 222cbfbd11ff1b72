import { toBinary } from '@bufbuild/protobuf';
import { Metadata } from '@grpc/grpc-js';
import { FleetError } from '../../proto/fleet-error.js';
import { StatusSchema, type Status } from '../../proto/gen/google/rpc/status_pb.js';
import type { CliContext } from './cli-context.js';
import { errorText, EXIT } from './exit-status.js';

/** What became of one of several. */
export interface BatchItem {
  readonly taskId: string;
  /** Set if it was refused. */
  readonly error: FleetError | undefined;
}

/** The error of one item of a batch, as if it had come as the status of a call of its own. */
export function itemError(status: Status): FleetError {
  const metadata = new Metadata();
  metadata.set('grpc-status-details-bin', Buffer.from(toBinary(StatusSchema, status)));
  const { code, message } = status;
  return FleetError.from(Object.assign(new Error(message), { code, details: message, metadata }));
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
