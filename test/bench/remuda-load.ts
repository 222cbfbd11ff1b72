/** The client process of the benchmark: what it does to Remuda, and how long that takes. */
import { TaskState } from '../../proto/gen/remuda/v1/task_pb.js';
import { Stubs } from '../support/stubs.js';
import { keepInFlight, Meter, type Operation, type Sample, type Terms } from './in-flight.js';
import { PAYLOAD, PAYLOAD_TEXT } from './payload.js';
import { openRemudaClient, type RemudaClient } from './remuda-client.js';
import { servePeer } from './serve-peer.js';

/** Tasks in one SubmitTasks, and how many such calls are under way. */
const BULK_TASKS = 256;
const BULK_CALLS = 4;
/** Tasks of one bulk at most, so that none is refused for want of room in a memory store. */
const BULK_TASKS_MAX = 100_000;

const ECHO = { type: 'echo', payload: { body: { case: 'data' as const, value: PAYLOAD } } };

let client: RemudaClient;
let stubs: Stubs;

function open(address: string): void {
  client = openRemudaClient(address);
  stubs = new Stubs(address);
}

const throughClient: Operation = (done) => {
  client.run('echo', PAYLOAD_TEXT).then(
    (result) => done(result === PAYLOAD_TEXT ? undefined : new Error('a result is not what the task was given')),
    (error: unknown) => done(asError(error)),
  );
};

const throughStub: Operation = (done) => {
  stubs.run({ task: ECHO }).then(
    ({ task }) => done(task?.state === TaskState.SUCCEEDED ? undefined : new Error(JSON.stringify(task?.failure))),
    (error: unknown) => done(asError(error)),
  );
};

/** From submit to result. */
function run({ how, inFlight, terms }: { how: 'client' | 'stub'; inFlight: number; terms: Terms }): Promise<Sample> {
  return keepInFlight(inFlight, terms, how === 'client' ? throughClient : throughStub);
}

/** From submit to the handler's entry, one at a time, so that a slot is free. */
async function startTasks(terms: Terms): Promise<Sample> {
  const meter = new Meter(terms, performance.now(), 1);
  while (!meter.isDone) {
    const submittedNs = process.hrtime.bigint();
    const enteredNs = BigInt(String(await client.run('entered', null)));
    meter.add(Number(enteredNs - submittedNs) / 1e6, performance.now());
  }
  return meter.sample();
}

/**
 * As many tasks as SubmitTasks takes in the time; from the first submit until all have ended. The queue is first in, first out,
 * so they have when a task that was submitted after them has.
 */
async function submitInBulk({ measureMs }: Terms): Promise<Sample> {
  const before = await succeeded();
  const startMs = performance.now();
  let submitted = 0;
  const submitter = async (): Promise<void> => {
    while (performance.now() < startMs + measureMs && submitted < BULK_TASKS_MAX) {
      submitted += BULK_TASKS;
      const { results } = await stubs.submitMany(Array<typeof ECHO>(BULK_TASKS).fill(ECHO));
      const refused = results.find(({ result }) => result.case !== 'submitted');
      if (refused !== undefined) throw new Error(`a task was refused: ${JSON.stringify(refused.result.value)}`);
    }
  };
  await Promise.all(Array.from({ length: BULK_CALLS }, submitter));
  await stubs.run({ task: ECHO });
  const tookMs = performance.now() - startMs;
  const count = (await succeeded()) - before;
  return { count, perS: (count / tookMs) * 1_000, p50Ms: null, p99Ms: null };
}

async function succeeded(): Promise<number> {
  const { totals } = await stubs.stats();
  const bad = Number(totals?.failureCount) + Number(totals?.crashCount) + Number(totals?.releaseCount);
  if (bad > 0) throw new Error(`${bad} attempts did not succeed`);
  return Number(totals?.succeededCount);
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

servePeer({ open, run, startTasks, submitInBulk });
