import { InvalidArgumentError, type Command } from 'commander';
import { quoted } from '../../proto/fleet-error.js';
import { usageError, type CliError } from './exit-status.js';

/** What is wrong with a command line, so that a person corrects all of it at once. */
export class Faults {
  readonly #found: string[] = [];

  /** One more, as a sentence: which argument, which value, what it may be. */
  add(text: string): void {
    this.#found.push(text);
  }

  /** All of them as one message; undefined if there is none. */
  get text(): string | undefined {
    const [first, ...others] = this.#found;
    if (first === undefined || others.length === 0) return first;
    return `the command line has ${this.#found.length} faults:\n${this.#found.map((text) => `  ${text}`).join('\n')}`;
  }
}

/**
 * Makes all commands below a program collect the values that their readers refuse, instead of ending at the first. They are told
 * before the command's action runs, and after the command's own preAction hooks, which may add what is wrong between options.
 * Call it when the program is complete.
 */
export function collectFaults(program: Command, faults: Faults): void {
  for (const option of program.options) collectFrom(option, option.long ?? option.flags, faults);
  for (const argument of program.registeredArguments) collectFrom(argument, argument.name(), faults);
  if (program.commands.length === 0) {
    program.hook('preAction', () => {
      const error = faultsError(faults);
      if (error !== undefined) throw error;
    });
  }
  for (const command of program.commands) collectFaults(command, faults);
}

function faultsError({ text }: Faults): CliError | undefined {
  return text === undefined ? undefined : usageError(text);
}

/** What commander has of an option and of an argument alike. */
interface Reading {
  parseArg?: <T>(value: string, previous: T) => T;
}

function collectFrom(reading: Reading, name: string, faults: Faults): void {
  const read = reading.parseArg;
  if (read === undefined) return;
  reading.parseArg = (value, previous) => {
    try {
      // commander keeps an empty text where a value was refused.
      return read(value, previous === '' ? (undefined as typeof previous) : previous);
    } catch (error) {
      if (!(error instanceof InvalidArgumentError)) throw error;
      faults.add(`${name} is ${quoted(value)}. ${error.message}`);
      return previous;
    }
  };
}
