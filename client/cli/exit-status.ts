import { status as Code } from '@grpc/grpc-js';
import { FleetError } from '../../proto/fleet-error.js';

/** What `remuda` exits with. */
export const EXIT = {
  /** Done; with --wait, --each and `watch`: SUCCEEDED, all of them. */
  done: 0,
  /**
   * With --wait and `watch`: the task ended otherwise than SUCCEEDED; with --each: a line failed. `remuda dev`: a program that it
   * started ended by itself.
   */
  failed: 1,
  /** The command line cannot be used, or the payload is no JSON or too large. Nothing was sent. */
  usage: 2,
  /** The coordinator does not answer, or cannot take anything now; the same again later may work. */
  unreachable: 3,
  /** --wait-timeout has passed; the task, or the drain, goes on. */
  timedOut: 4,
  /** The coordinator refused: not found, already exists, over a bound. Of several ids the others are done all the same. */
  refused: 5,
  /** A bug in `remuda`. */
  bug: 70,
  /**
   * All went well, but for stdout, which could not be written: EX_IOERR. With --each and `watch` also: nobody reads it any more, and
   * what is under way goes on.
   */
  unwritten: 74,
  /** Ctrl-C. */
  interrupted: 130,
} as const;

/** Ends the command with a message on stderr. */
export class CliError extends Error {
  override readonly name = 'CliError';

  constructor(
    /** One of {@link EXIT}. */
    readonly exitCode: number,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** The command line cannot be used. */
export function usageError(message: string): CliError {
  return new CliError(EXIT.usage, message);
}

/** What to exit with after an error. */
export function exitStatusOf(error: unknown): number {
  if (error instanceof CliError) return error.exitCode;
  if (!(error instanceof FleetError)) return EXIT.bug;
  switch (error.code) {
    case Code.UNAVAILABLE:
    case Code.DEADLINE_EXCEEDED:
      return EXIT.unreachable;
    case Code.INVALID_ARGUMENT:
      return error.reason === 'INVALID_ADDRESS' ? EXIT.usage : EXIT.refused;
    case Code.INTERNAL:
      return error.reason === 'INTERNAL' ? EXIT.bug : EXIT.refused;
    default:
      return EXIT.refused;
  }
}

/** What to tell a person about an error: a sentence, and for a bug also where it is. */
export function errorText(error: unknown): string {
  if (error instanceof CliError) return error.message;
  if (error instanceof FleetError) {
    const later = error.retryDelayMs === undefined ? '' : ` (try again in ${Math.ceil(error.retryDelayMs / 1000)} s)`;
    const reason = error.reason === '' ? '' : ` [${error.reason}]`;
    return `${error.message}${later}${reason}`;
  }
  return `a bug in remuda, please report it: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
}
