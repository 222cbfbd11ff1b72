import { keepInFlight, Meter, sampleOf, type Operation, type Sample, type Terms } from '../in-flight.js';
import { PAYLOAD_TEXT } from '../payload.js';
import { machineMs, type TimedRun } from './handlers.js';
import { queueTimes, type QueueTimes } from './queue-times.js';

/** What a contender does with a task: has the handler of this type run, and gives back what that returns. */
export type Run = (type: 'echo' | 'entered' | 'timed', payload: unknown) => Promise<unknown>;

/** How a load peer is told what to measure. */
export interface LoadArgs {
  readonly terms: Terms;
  /** How many tasks the contender runs at a time. */
  readonly slots: number;
  /** How many tasks are under way at a time, for an echo. */
  readonly inFlight: number;
}

/** So many starts at least, however long they take: with fewer there is no 99th of 100. */
const STARTS_MIN = 100;
/** Less will do where it is only to be seen that it works. */
const STARTS_MIN_BRIEF = 3;
/** What is measured for less than this is measured briefly, in milliseconds. */
const BRIEF_MS = 1_000;
/** Tasks of a burst, for each slot. */
const BURST_PER_SLOT = 3;
/** How long a task of a burst is busy, in milliseconds: longer than a burst takes to be handed out. */
const BURST_RUN_MS = 20;

/** The operations of a load peer, whatever runs its tasks. */
export function loadOperations(run: Run) {
  return {
    /** From submit to the handler's entry, one at a time, so that a slot is free. */
    start: ({ terms }: LoadArgs): Promise<Sample> => measureStarts(run, terms),
    /** How long a task of a burst waited for a slot. */
    wait: (args: LoadArgs): Promise<Sample> => measureBursts(run, args, ({ waitMs }) => waitMs),
    /** From a slot's being free to the entry of the next handler in it. */
    handover: (args: LoadArgs): Promise<Sample> => measureBursts(run, args, ({ handoverMs }) => handoverMs),
    /** From submit to result. */
    echo: ({ terms, inFlight }: LoadArgs): Promise<Sample> => keepInFlight(inFlight, terms, echoOf(run)),
  };
}

function echoOf(run: Run): Operation {
  return (done) => {
    run('echo', PAYLOAD_TEXT).then(
      (result) => done(result === PAYLOAD_TEXT ? undefined : new Error('a result is not what the task was given')),
      (error: unknown) => done(error instanceof Error ? error : new Error(String(error))),
    );
  };
}

async function measureStarts(run: Run, terms: Terms): Promise<Sample> {
  const countMin = terms.measureMs < BRIEF_MS ? STARTS_MIN_BRIEF : STARTS_MIN;
  const meter = new Meter(terms, performance.now(), countMin);
  while (!meter.isDone) {
    const submittedMs = machineMs();
    const enteredMs = (await run('entered', null)) as number;
    meter.add(enteredMs - submittedMs, performance.now());
  }
  return meter.sample();
}

/** Bursts, one after another, until the time is over; what is counted is the tasks that had to wait. */
async function measureBursts(
  run: Run,
  { terms, slots }: LoadArgs,
  timesOf: (times: QueueTimes) => readonly number[],
): Promise<Sample> {
  const tookMs: number[] = [];
  const startMs = performance.now();
  do {
    const submittedMs = machineMs();
    const burst = Array.from({ length: slots * BURST_PER_SLOT }, () => run('timed', BURST_RUN_MS));
    tookMs.push(...timesOf(queueTimes(submittedMs, (await Promise.all(burst)) as TimedRun[])));
  } while (performance.now() < startMs + terms.measureMs);
  return sampleOf(tookMs, performance.now() - startMs);
}
