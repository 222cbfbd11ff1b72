/** One question from the process that started this one. */
export interface Question {
  readonly operation: string;
  readonly args: unknown;
}

/** Its answer. */
export type Answer = { readonly result: unknown } | { readonly error: string };

/**
 * Makes this process a peer: it does what the process that forked it asks for, one thing at a time, and ends when that one
 * does.
 */
export function servePeer(operations: Readonly<Record<string, (args: never) => unknown>>): void {
  const answer = async ({ operation, args }: Question): Promise<void> => {
    let said: Answer;
    try {
      const run = operations[operation];
      if (run === undefined) throw new Error(`there is no operation "${operation}" here`);
      said = { result: await run(args as never) };
    } catch (error) {
      said = { error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
    }
    process.send?.(said);
  };
  process.on('message', (question: Question) => void answer(question));
  process.on('disconnect', () => process.exit(0));
}
