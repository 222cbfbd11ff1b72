import { join } from 'node:path';
import { STOP_ON_STDIN_EOF_ENV } from '../../proto/stdin-guard.js';
import { startCoordinator, type Program } from '../support/programs.js';
import type { WorkerOptions } from '../../worker/index.js';
import { WINDOWS, type Contender, type OpenContender, type Row, type Scene } from './contender.js';
import type { Sample, Terms } from './in-flight.js';
import { Peer } from './peer.js';
import { THROUGH } from './remuda-client.js';

type Store = 'memory' | 'sqlite';
type Session = NonNullable<WorkerOptions['session']>;

const STORES: readonly Store[] = ['memory', 'sqlite'];
/** Where a worker keeps its stream to the coordinator. */
const SESSIONS: readonly Session[] = ['thread', 'inline'];
/** How many RunTask calls are under way, in turn. */
const STUB_WINDOWS = [64, 256] as const;
/** What is measured for the warm-up. */
const WARM = 256;

/** Remuda as it is run: a coordinator, one worker process, one client process. */
export const REMUDA_CONTENDERS: readonly Contender[] = STORES.flatMap((store) =>
  SESSIONS.map((session) => ({
    name: `${store}-${session}`,
    rows: rowsOf(store, session),
    open: (scene) => openFleet(store, session, scene),
  })),
);

function rowsOf(store: Store, session: Session): Row[] {
  const where = `${store}:, session ${session}`;
  const pipe = store === 'memory' ? 'pipe' : 'pipe-sqlite';
  return [
    { name: 'start', what: `${where}; ${THROUGH}`, inFlight: 1, floor: null, table: 'start' },
    ...WINDOWS.map((inFlight): Row => {
      const what = `${where}; ${THROUGH}`;
      return { name: String(inFlight), what, inFlight, floor: `${pipe}/${inFlight}`, table: 'result' };
    }),
    ...STUB_WINDOWS.map((inFlight): Row => {
      const what = `${where}; RunTask, plain stub`;
      return { name: `stub-${inFlight}`, what, inFlight, floor: `grpc/unary-${inFlight}`, table: 'result' };
    }),
    { name: 'bulk', what: `${where}; SubmitTasks of 256`, inFlight: null, floor: null, table: 'result' },
  ];
}

let opened = 0;

async function openFleet(store: Store, session: Session, scene: Scene): Promise<OpenContender> {
  opened += 1;
  const spec = store === 'memory' ? 'memory:' : `sqlite:${join(scene.folder, `remuda-${opened}.db`)}`;
  const { profileFolder } = scene;
  const nodeArgs = profileFolder === null ? [] : ['--cpu-prof', '--cpu-prof-dir', profileFolder];
  const coordinator = await startCoordinator(['--store', spec, '--http', 'off'], {
    nodeArgs,
    // It ends with this process, however that ends.
    stdin: 'pipe',
    env: { [STOP_ON_STDIN_EOF_ENV]: '1' },
  });
  const worker = new Peer(new URL('./remuda-worker.js', import.meta.url));
  const load = new Peer(new URL('./remuda-load.js', import.meta.url));
  await worker.ask('start', { address: coordinator.address, session });
  await load.ask('open', coordinator.address);
  await measureLoad(load, { name: String(WARM), inFlight: WARM }, { warmMs: 0, measureMs: scene.warmMs });
  return {
    measure: (row, terms) => measureLoad(load, row, terms),
    [Symbol.asyncDispose]: () => endFleet(load, worker, coordinator.program),
  };
}

function measureLoad(load: Peer, { name, inFlight }: Pick<Row, 'name' | 'inFlight'>, terms: Terms): Promise<Sample> {
  const busyMs = terms.warmMs + terms.measureMs;
  if (name === 'start') return load.ask('startTasks', terms, busyMs);
  // What was submitted in the time takes as long again to run, or longer.
  if (name === 'bulk') return load.ask('submitInBulk', terms, busyMs * 10);
  return load.ask('run', { how: name.startsWith('stub') ? 'stub' : 'client', inFlight, terms }, busyMs);
}

/** The coordinator last, and in good order: its profile is written when it exits. */
async function endFleet(load: Peer, worker: Peer, coordinator: Program): Promise<void> {
  await load[Symbol.asyncDispose]();
  await worker[Symbol.asyncDispose]();
  coordinator.kill('SIGTERM');
  await coordinator.exit();
}
