/** 128 and the signal's number, as a shell has it. */
const SIGNAL_EXITS = { SIGINT: 130, SIGTERM: 143 } as const;

/**
 * Aborted once somebody wants the program to end; the exit code is set by then. A second Ctrl-C ends it at once. A reader that
 * has seen enough (`| head`) ends it here and quietly.
 */
export function programSignal(): AbortSignal {
  const controller = new AbortController();
  for (const [signal, code] of Object.entries(SIGNAL_EXITS)) {
    process.once(signal, () => {
      process.exitCode = code;
      controller.abort();
    });
  }
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit();
  });
  return controller.signal;
}
