/**
 * The figures of a pool in memory that two threads share: the pool's thread writes them, the host program reads them at any time,
 * without waiting and without a message. They are written before anything of the same step leaves for a client or a listener, so
 * whoever has been told of something reads figures that contain it.
 *
 * A snapshot is written whole into the next of {@link BUFFERS} buffers and published by its number. A reader copies the newest
 * and looks at the number again: unless the writer has come round to that buffer meanwhile, the copy is of one moment.
 */

/**
 * Two would do; with more, a reader that is interrupted in the middle of its copy need not try again. A power of two: the
 * number of a snapshot wraps after 2^32, in weeks.
 */
const BUFFERS = 4;
/** Copies in a row that the writer overtook; so many cannot be. */
const MAX_READS = 1_000;
/** Samples of the newest starts and run times. */
export const RECENT_SAMPLES = 1_000;
/** Task ids of one worker that are shown; one slot holds one. */
const TASKS_SHOWN = 16;
/** Completed tasks are counted by tenths of a second. */
const RATE_BUCKET_MS = 100;
/** How far back the rate looks, in milliseconds. */
const RATE_SPAN_MS = 10_000;
/** The buckets of the span, and the one that is being filled. */
const RATE_BUCKETS = RATE_SPAN_MS / RATE_BUCKET_MS + 1;

const SCALARS = [
  ...['size', 'queued', 'running', 'completed', 'failed', 'retried', 'deadLettered'],
  ...['attemptsStarted', 'attemptsReused', 'givenUp', 'zombieRecent', 'storeRefusing', 'minWorkers'],
] as const;
/** One worker's record, before its task ids. */
const FIELDS = ['pid', 'state', 'tasksDone', 'restarts', 'rss', 'startMs', 'lastFrameWallMs', 'tasks'] as const;
const ID_FLOATS = 2;
const RECORD_FLOATS = FIELDS.length + TASKS_SHOWN * ID_FLOATS;

/** The states of a worker by their code; 0: there is none at this index. */
const STATES = ['', 'ready', 'busy', 'starting', 'draining', 'zombie'] as const;

/** How a worker of a pool is. */
export type PlaceState = Exclude<(typeof STATES)[number], ''>;

/** The numbers of a pool that are not of one worker. */
export type PoolScalars = Record<(typeof SCALARS)[number], number>;

/** One worker, as its index says which. */
export interface PlaceFigures {
  readonly index: number;
  readonly state: PlaceState;
  /** Undefined: it has no process. */
  readonly pid: number | undefined;
  readonly tasksDone: number;
  readonly restarts: number;
  /** Bytes; undefined before the first heartbeat. */
  readonly rss: number | undefined;
  /** When its process was started, on the monotonic clock that both threads have. */
  readonly startMs: number;
  /** Milliseconds since 1970; undefined before the first frame. */
  readonly lastFrameWallMs: number | undefined;
  readonly taskIds: readonly string[];
}

/** A copy of all figures, of one moment. */
export interface PoolFigures extends PoolScalars {
  readonly places: readonly PlaceFigures[];
  /** The newest samples, at most {@link RECENT_SAMPLES}, in no order, in milliseconds. */
  readonly starts: Float64Array;
  readonly runs: Float64Array;
  /** Tasks that were completed within the last {@link RATE_SPAN_MS}. */
  readonly completedRecently: number;
}

/** What both threads hold. Plain data for a message: the memory itself is shared. */
export interface SharedFigures {
  /** How many workers there can be at a time. */
  readonly places: number;
  readonly control: SharedArrayBuffer;
  readonly snapshots: SharedArrayBuffer;
  readonly samples: SharedArrayBuffer;
}

const PUBLISHED = 0;
const EVENT_MASK = 1;
const EVENTS_HANDLED = 2;
const CONTROLS = 3;

const STARTS_AT = 2;
const RUNS_AT = STARTS_AT + RECENT_SAMPLES;
const RATES_AT = RUNS_AT + RECENT_SAMPLES;
/** How many samples there have been, of each kind, come first. */
const SAMPLE_FLOATS = RATES_AT + RATE_BUCKETS * 2;

/** Memory for a pool of at most so many workers. */
export function shareFigures(places: number): SharedFigures {
  const floats = SCALARS.length + places * RECORD_FLOATS;
  return {
    places,
    control: new SharedArrayBuffer(CONTROLS * Int32Array.BYTES_PER_ELEMENT),
    snapshots: new SharedArrayBuffer(BUFFERS * floats * Float64Array.BYTES_PER_ELEMENT),
    samples: new SharedArrayBuffer(SAMPLE_FLOATS * Float64Array.BYTES_PER_ELEMENT),
  };
}

/** The pool's thread's side. */
export class FiguresWriter {
  readonly #control: Int32Array;
  readonly #snapshots: Float64Array;
  readonly #samples: Float64Array;
  /** What the next snapshot will be. */
  readonly #draft: Float64Array;
  readonly #draftBits: DataView;
  /** The task ids that stand in the draft, by index: they change less often than the rest, and take longer to write. */
  readonly #taskIds: (readonly string[])[];

  constructor({ places, control, snapshots, samples }: SharedFigures) {
    this.#taskIds = Array.from({ length: places }, () => []);
    this.#control = new Int32Array(control);
    this.#snapshots = new Float64Array(snapshots);
    this.#samples = new Float64Array(samples);
    this.#draft = new Float64Array(SCALARS.length + places * RECORD_FLOATS);
    this.#draftBits = new DataView(this.#draft.buffer);
  }

  /** Which events the host listens to: bit by bit, as the caller has numbered them. */
  get eventMask(): number {
    return Atomics.load(this.#control, EVENT_MASK);
  }

  /** How many events the host has not taken yet, of so many that were posted in all. */
  eventsOutstanding(posted: number): number {
    return (posted - Atomics.load(this.#control, EVENTS_HANDLED)) | 0;
  }

  scalars(values: Partial<PoolScalars>): void {
    SCALARS.forEach((name, index) => {
      const value = values[name];
      if (value !== undefined) this.#draft[index] = value;
    });
  }

  place(figures: PlaceFigures): void {
    const at = recordAt(figures.index);
    const draft = this.#draft;
    const shown = figures.taskIds.slice(0, TASKS_SHOWN);
    draft[at] = figures.pid ?? 0;
    draft[at + 1] = STATES.indexOf(figures.state);
    draft[at + 2] = figures.tasksDone;
    draft[at + 3] = figures.restarts;
    draft[at + 4] = figures.rss ?? 0;
    draft[at + 5] = figures.startMs;
    draft[at + 6] = figures.lastFrameWallMs ?? 0;
    draft[at + 7] = shown.length;
    const before = this.#taskIds[figures.index];
    if (before?.length === shown.length && shown.every((taskId, index) => taskId === before[index])) return;
    this.#taskIds[figures.index] = shown;
    shown.forEach((taskId, index) => writeUuid(this.#draftBits, (at + FIELDS.length + index * ID_FLOATS) * 8, taskId));
  }

  /** There is no worker at this index any more. */
  noPlace(index: number): void {
    this.#draft.fill(0, recordAt(index), recordAt(index + 1));
    this.#taskIds[index] = [];
  }

  /** A handler was entered so long after its task had been handed out. */
  started(startMs: number): void {
    this.#sample(0, STARTS_AT, startMs);
  }

  /** A task has SUCCEEDED. */
  completed(runMs: number, nowMs: number): void {
    this.#sample(1, RUNS_AT, runMs);
    const bucket = Math.floor(nowMs / RATE_BUCKET_MS);
    const at = RATES_AT + (bucket % RATE_BUCKETS) * 2;
    const samples = this.#samples;
    samples[at + 1] = samples[at] === bucket ? (samples[at + 1] ?? 0) + 1 : 1;
    samples[at] = bucket;
  }

  /** Lets readers see what was written. */
  publish(): void {
    const next = (Atomics.load(this.#control, PUBLISHED) + 1) | 0;
    this.#snapshots.set(this.#draft, bufferOf(next) * this.#draft.length);
    Atomics.store(this.#control, PUBLISHED, next);
  }

  #sample(counter: number, startAt: number, value: number): void {
    const count = this.#samples[counter] ?? 0;
    this.#samples[startAt + (count % RECENT_SAMPLES)] = value;
    this.#samples[counter] = count + 1;
  }
}

/** Any thread's side. */
export class FiguresReader {
  readonly #places: number;
  readonly #control: Int32Array;
  readonly #snapshots: Float64Array;
  readonly #samples: Float64Array;

  constructor({ places, control, snapshots, samples }: SharedFigures) {
    this.#places = places;
    this.#control = new Int32Array(control);
    this.#snapshots = new Float64Array(snapshots);
    this.#samples = new Float64Array(samples);
  }

  /** Says which events are listened to. Seen by the writer at once, before any message. */
  set eventMask(mask: number) {
    Atomics.store(this.#control, EVENT_MASK, mask);
  }

  /** Events have been taken. */
  eventsHandled(count: number): void {
    Atomics.add(this.#control, EVENTS_HANDLED, count);
  }

  /** @param nowMs on the monotonic clock that both threads have */
  read(nowMs: number): PoolFigures {
    const copy = this.#copy();
    const samples = this.#samples.slice();
    const scalars = Object.fromEntries(SCALARS.map((name, index) => [name, copy[index] ?? 0])) as PoolScalars;
    const bits = new DataView(copy.buffer);
    const places: PlaceFigures[] = [];
    for (let index = 0; index < this.#places; index += 1) {
      const place = readPlace(copy, bits, index);
      if (place !== undefined) places.push(place);
    }
    const taken = (counter: number, at: number): Float64Array =>
      samples.slice(at, at + Math.min(samples[counter] ?? 0, RECENT_SAMPLES));
    return {
      ...scalars,
      places,
      starts: taken(0, STARTS_AT),
      runs: taken(1, RUNS_AT),
      completedRecently: completedSince(samples, nowMs),
    };
  }

  #copy(): Float64Array<ArrayBuffer> {
    const length = this.#snapshots.length / BUFFERS;
    for (let reads = 0; reads < MAX_READS; reads += 1) {
      const published = Atomics.load(this.#control, PUBLISHED);
      const start = bufferOf(published) * length;
      const copy = new Float64Array(this.#snapshots.subarray(start, start + length));
      // The writer may be in the buffer after the newest, and after that in the next: ours is the last that it comes to.
      if (((Atomics.load(this.#control, PUBLISHED) - published) | 0) < BUFFERS - 1) return copy;
    }
    throw new Error(`the figures of the pool changed ${MAX_READS} times while they were read`);
  }
}

function bufferOf(published: number): number {
  return published & (BUFFERS - 1);
}

function recordAt(index: number): number {
  return SCALARS.length + index * RECORD_FLOATS;
}

function readPlace(copy: Float64Array, bits: DataView, index: number): PlaceFigures | undefined {
  const at = recordAt(index);
  const [pid = 0, code = 0, tasksDone = 0, restarts = 0, rss = 0, startMs = 0, lastFrameWallMs = 0, tasks = 0] =
    copy.subarray(at, at + FIELDS.length);
  const state = STATES[code] ?? '';
  if (state === '') return undefined;
  const idsAt = at + FIELDS.length;
  const taskIds = Array.from({ length: tasks }, (_, id) => readUuid(bits, (idsAt + id * ID_FLOATS) * 8));
  return {
    index,
    state,
    pid: pid === 0 ? undefined : pid,
    tasksDone,
    restarts,
    rss: rss === 0 ? undefined : rss,
    startMs,
    lastFrameWallMs: lastFrameWallMs === 0 ? undefined : lastFrameWallMs,
    taskIds,
  };
}

function completedSince(samples: Float64Array, nowMs: number): number {
  const current = Math.floor(nowMs / RATE_BUCKET_MS);
  let sum = 0;
  for (let at = RATES_AT; at < SAMPLE_FLOATS; at += 2) {
    if (current - (samples[at] ?? 0) < RATE_BUCKETS) sum += samples[at + 1] ?? 0;
  }
  return sum;
}

/** As 16 bytes: shared memory holds no strings. */
function writeUuid(bits: DataView, at: number, uuid: string): void {
  const digits = uuid.replaceAll('-', '');
  for (let part = 0; part < 4; part += 1) {
    bits.setUint32(at + part * 4, Number.parseInt(digits.slice(part * 8, part * 8 + 8), 16));
  }
}

function readUuid(bits: DataView, at: number): string {
  let digits = '';
  for (let part = 0; part < 4; part += 1)
    digits += bits
      .getUint32(at + part * 4)
      .toString(16)
      .padStart(8, '0');
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
