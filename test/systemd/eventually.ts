import { setTimeout as delay } from 'node:timers/promises';

/** What is looked at lies behind another process 1, which offers no event for it. */
const LOOK_MS = 50;

/**
 * Looks until something is there, with a time limit.
 *
 * @param find undefined: not yet
 * @param what the end of "no ..." for the message
 * @param detail for the message: how it is instead
 */
export async function eventually<T>(
  find: () => Promise<T | undefined> | T | undefined,
  what: string,
  timeoutMs: number,
  detail: () => Promise<string> | string = () => '',
): Promise<T> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const found = await find();
    if (found !== undefined) return found;
    if (performance.now() > end) throw new Error(`no ${what} within ${timeoutMs} ms\n${await detail()}`);
    await delay(LOOK_MS);
  }
}
