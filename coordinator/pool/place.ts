import type { SupervisorEvent } from '../../worker/supervisor.js';
import type { WorkerGlance } from '../core/fleet-glance.js';
import type { PlaceFigures } from './pool-figures.js';

/** A worker of the pool, with or without a process. */
export interface Place {
  readonly figures: { -readonly [K in keyof PlaceFigures]: PlaceFigures[K] };
  /** Empty: there is no process. */
  incarnation: string;
  zombie: boolean;
  /** Its process has been welcomed; until then it hears of nothing. */
  welcomed: boolean;
  /** Ends a process that is not welcomed in time. */
  startTimer: NodeJS.Timeout | undefined;
  /** It has been asked to leave: for good, or to be replaced. */
  leaving: 'no' | 'retire' | 'replace';
  /** Attempts that its earlier processes ended, and those of this one. */
  doneBefore: number;
  done: number;
  /** How its newest process failed; undefined: it has not. */
  failedWith: Extract<SupervisorEvent, { name: 'child-ended' }> | undefined;
  /** It was said that the process is above the memory limit before it has done anything. */
  toldTooLarge: boolean;
}

/** One whose process is still to be started. */
export function newPlace(index: number): Place {
  return {
    figures: {
      index,
      state: 'starting',
      pid: undefined,
      tasksDone: 0,
      restarts: 0,
      rss: undefined,
      startMs: 0,
      lastFrameWallMs: undefined,
      taskIds: [],
    },
    incarnation: '',
    zombie: false,
    welcomed: false,
    startTimer: undefined,
    leaving: 'no',
    doneBefore: 0,
    done: 0,
    failedWith: undefined,
    toldTooLarge: false,
  };
}

/** Takes over what the coordinator knows of the worker's process. */
export function lookAt(place: Place, worker: WorkerGlance): void {
  const { figures } = place;
  const taskIds = worker.holdCount === 0 ? NO_TASKS : [...worker.taskIds];
  place.done = worker.attemptsDone;
  figures.tasksDone = place.doneBefore + worker.attemptsDone;
  figures.rss = worker.rssBytes ?? figures.rss;
  figures.lastFrameWallMs = worker.lastFrameWallMs ?? undefined;
  figures.taskIds = taskIds;
  if (place.zombie) return;
  if (place.leaving !== 'no' || worker.state === 'DRAINING') figures.state = 'draining';
  else if (taskIds.length > 0) figures.state = 'busy';
  else if (worker.state === 'READY') figures.state = 'ready';
}

const NO_TASKS: readonly string[] = [];
