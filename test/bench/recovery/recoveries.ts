/** What is ended by force, and how long it takes until its work goes on. */
import { appendFileSync, existsSync, mkdtempSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { v7 as uuidv7 } from 'uuid';
import { endPrograms, startCoordinator, startWorker, type Program } from '../../support/programs.js';
import { json, Stubs } from '../../support/stubs.js';
import { machineMs } from '../pool/handlers.js';
import { ENTRIES_VARIABLE, type Entry } from './handlers.js';

/** One kind of recovery. */
export interface Recovery {
  readonly name: string;
  /** For people: from what to what. */
  readonly what: string;
  /** Of the settings, those that explain the figure. */
  readonly settings: string;
  /** Measures it once. Returns milliseconds. Leaves no process. */
  readonly measure: (scene: RecoveryScene) => Promise<number>;
}

export interface RecoveryScene {
  readonly folder: string;
  /** How many tasks are queued when the coordinator ends. */
  readonly queued: number;
}

const HANDLERS = fileURLToPath(new URL('handlers.js', import.meta.url));
const DEFAULTS = 'heartbeat 5 s, lease 15 s + 1.5 s margin (the defaults)';
const SHORT = ['--heartbeat-interval', '1s', '--lease', '3s'];
/** Much longer than any recovery takes; a lease ends after 16.5 s. */
const PATIENCE_MS = 60_000;
const LOOK_MS = 20;
const SUBMITS_PER_CALL = 500;

/** What a measurement uses: a folder of its own, and the entries of its handlers. */
class Place {
  readonly folder: string;
  readonly env: Readonly<Record<string, string>>;
  readonly #file: string;

  constructor(scene: RecoveryScene) {
    this.folder = mkdtempSync(join(scene.folder, 'recovery-'));
    this.#file = join(this.folder, 'entries.ndjson');
    this.env = { [ENTRIES_VARIABLE]: this.#file };
    appendFileSync(this.#file, '');
  }

  get store(): string {
    return `sqlite:${join(this.folder, 'store.db')}`;
  }

  entries(): Entry[] {
    const lines = existsSync(this.#file) ? readFileSync(this.#file, 'utf8').split('\n') : [];
    return lines.filter((line) => line.endsWith('}')).map((line) => JSON.parse(line) as Entry);
  }

  /** The first entry that fits, so far or later. */
  async entry(fits: (entry: Entry) => boolean, what: string): Promise<Entry> {
    const untilMs = machineMs() + PATIENCE_MS;
    for (;;) {
      const found = this.entries().find(fits);
      if (found !== undefined) return found;
      if (machineMs() > untilMs) throw new Error(`no ${what} within ${PATIENCE_MS} ms`);
      // The entry has its own time, so how often one looks does not matter.
      await delay(LOOK_MS);
    }
  }

  worker(address: string, args: readonly string[]): Promise<Program> {
    return startWorker(HANDLERS, address, args, { env: this.env });
  }
}

/** One task runs in a process that is killed; from then until it is entered again. */
async function worker(
  scene: RecoveryScene,
  coordinator: readonly string[],
  victimArgs: readonly string[],
  afterwards: (place: Place, address: string, victim: Program) => Promise<void>,
): Promise<number> {
  const place = new Place(scene);
  try {
    const { address } = await startCoordinator(['--store', place.store, ...coordinator]);
    const victim = await place.worker(address, ['--worker-id', 'victim', ...victimArgs]);
    using stubs = new Stubs(address);
    await stubs.submit({ type: 'stays', payload: json(null) });
    const first = await place.entry(({ attempt }) => attempt === 1, 'first attempt');
    // The coordinator hears of its start; then there is somewhere to go.
    await delay(500);
    const killedMs = machineMs();
    process.kill(first.pid, 'SIGKILL');
    await afterwards(place, address, victim);
    const second = await place.entry(({ attempt }) => attempt === 2, 'second attempt');
    return second.atMs - killedMs;
  } finally {
    await endPrograms();
  }
}

/** The same id, and nothing known of the process before. */
async function restarted(place: Place, address: string, victim: Program): Promise<void> {
  await victim.exit();
  await place.worker(address, ['--worker-id', 'victim']);
}

/** There is another one, that is all. */
async function another(place: Place, address: string): Promise<void> {
  await place.worker(address, ['--worker-id', 'other']);
}

/** From the start of the next coordinator to the first task that it hands out. */
async function coordinator(scene: RecoveryScene, signal: 'SIGKILL' | 'SIGTERM'): Promise<number> {
  const place = new Place(scene);
  try {
    const first = await startCoordinator(['--store', place.store]);
    await place.worker(first.address, ['--worker-id', 'w']);
    {
      using stubs = new Stubs(first.address);
      const mostCalls = Math.ceil(scene.queued / SUBMITS_PER_CALL) * 2;
      for (let calls = 0; ((await stubs.stats()).tasks?.queuedCount ?? 0) < scene.queued; calls += 4) {
        if (calls > mostCalls) throw new Error(`${calls} calls of ${SUBMITS_PER_CALL} did not queue ${scene.queued}`);
        const request = () => ({ taskId: uuidv7(), type: 'brief', payload: json(null) });
        const submits = Array.from({ length: 4 }, () =>
          stubs.submitMany(Array.from({ length: SUBMITS_PER_CALL }, request)),
        );
        await Promise.all(submits);
      }
    }
    first.program.kill(signal);
    await first.program.exit();
    // What has arrived at the worker may still be entered; after a look at an idle worker nothing is.
    await delay(500);
    const startMs = machineMs();
    await startCoordinator(['--store', place.store, '--listen', first.address]);
    const entry = await place.entry(({ atMs }) => atMs > startMs, 'task of the next coordinator');
    return entry.atMs - startMs;
  } finally {
    await endPrograms();
  }
}

const TO_ENTRY = 'from kill -9 of the process to the entry of its task';

export const RECOVERIES: readonly Recovery[] = [
  {
    name: 'worker/supervised',
    what: `${TO_ENTRY} in the successor, which its supervisor starts and which names the dead one`,
    settings: `none: the supervisor restarts at once; ${DEFAULTS}`,
    measure: (scene) => worker(scene, [], ['--processes', '1'], async () => undefined),
  },
  {
    name: 'worker/restarted',
    what: `${TO_ENTRY} in a process with the same id, which a service manager starts at once and which knows of no other`,
    settings: DEFAULTS,
    measure: (scene) => worker(scene, [], [], restarted),
  },
  {
    name: 'worker/gone',
    what: `${TO_ENTRY} in another worker; the first never comes back`,
    settings: DEFAULTS,
    measure: (scene) => worker(scene, [], [], another),
  },
  {
    name: 'worker/gone-short',
    what: `${TO_ENTRY} in another worker; the first never comes back`,
    settings: 'heartbeat 1 s, lease 3 s + 1 s margin',
    measure: (scene) => worker(scene, SHORT, [], another),
  },
  {
    name: 'coordinator/killed',
    what: 'from the start of the next coordinator, after kill -9, to the entry of the first task that it hands out',
    settings: 'the worker dials again within 1 s; what is queued waits for no lease',
    measure: (scene) => coordinator(scene, 'SIGKILL'),
  },
  {
    name: 'coordinator/stopped',
    what: 'the same after SIGTERM',
    settings: 'the worker dials again within 1 s; what is queued waits for no lease',
    measure: (scene) => coordinator(scene, 'SIGTERM'),
  },
];
