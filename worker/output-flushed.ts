import { within } from '../proto/within.js';

/** How long a reader may take for what has been printed, in milliseconds. */
const FLUSH_MS = 2_000;

/**
 * Waits until all that was printed has left the process, or its reader has had long enough: process.exit() drops what a full pipe
 * has not taken yet, and with it the last lines of user code.
 */
export async function outputFlushed(): Promise<void> {
  const flushed = [process.stdout, process.stderr].map(
    (output) =>
      new Promise<void>((resolve) => {
        // A reader that is gone is no error of user code, as which it would end the process with another status.
        output.on('error', () => resolve());
        output.write('', () => resolve());
      }),
  );
  await within(Promise.all(flushed), FLUSH_MS);
}
