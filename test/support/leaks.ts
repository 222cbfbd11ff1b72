/**
 * Fails a test file that leaves something open: servers, sockets, child processes, worker threads, timers. What is left open
 * costs the next file its port, its time or its memory, and hides programs that never end.
 *
 * A set-up file of vitest (test/vitest.config.ts): its afterAll runs after those of the test file.
 */
import { afterAll } from 'vitest';

/** What passes by itself: file requests in flight and the look itself. */
const PASSING = /^Immediate$|^TickObject$|Req|Promise|Request/;
/** Turns of the loop in which a closed socket is really gone; then looks with pauses, for what ends in another process. */
const TURNS_MAX = 20;
const LOOKS_MAX = 200;
const LOOK_MS = 10;

type Counts = ReadonlyMap<string, number>;

/** Threads are not among Node's active resources, although they keep the process. */
let threads = 0;
process.on('worker', (worker) => {
  threads += 1;
  worker.once('exit', () => {
    threads -= 1;
  });
});

function openNow(): Counts {
  const counts = new Map([['WorkerThread', threads]]);
  for (const name of process.getActiveResourcesInfo()) {
    if (!PASSING.test(name)) counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
}

function openedSince(before: Counts): string[] {
  return [...openNow()].flatMap(([name, count]) => {
    const more = count - (before.get(name) ?? 0);
    return more > 0 ? [`${more} ${name}`] : [];
  });
}

async function waitForClosed(before: Counts): Promise<string[]> {
  let open = openedSince(before);
  for (let look = 0; open.length > 0 && look < TURNS_MAX + LOOKS_MAX; look += 1) {
    await new Promise((resolve) => (look < TURNS_MAX ? setImmediate(resolve) : setTimeout(resolve, LOOK_MS)));
    open = openedSince(before);
  }
  return open;
}

// The first use opens them, for the whole life of the process.
process.stdout.write('');
process.stderr.write('');
const before = openNow();

afterAll(async () => {
  const open = await waitForClosed(before);
  if (open.length === 0) return;
  throw new Error(
    `this file leaves open: ${open.join(', ')}. ` +
      'Close servers, clients and sockets, end child processes and worker threads, and clear timers in an afterEach',
  );
});
