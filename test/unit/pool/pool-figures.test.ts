import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { FiguresReader, FiguresWriter, RECENT_SAMPLES, shareFigures } from '../../../coordinator/pool/pool-figures.js';
import { poolHealth, poolMetrics, workerStatus } from '../../../coordinator/pool/pool-view.js';

const TASK = '01a20dcf-2fdb-74d2-b9f4-8ef7cbff83f0';
const OTHER = 'ffffffff-0000-7000-8000-000000000001';

function setup(places = 3) {
  const shared = shareFigures(places);
  return { shared, writer: new FiguresWriter(shared), reader: new FiguresReader(shared) };
}

function place(index: number, taskIds: readonly string[] = []) {
  const state = taskIds.length > 0 ? ('busy' as const) : ('ready' as const);
  return {
    index,
    state,
    pid: 100 + index,
    tasksDone: 7,
    restarts: 1,
    rss: 5_000,
    startMs: 250,
    lastFrameWallMs: 9_000,
    taskIds,
  };
}

describe('the figures of a pool', () => {
  it('should be read as they were written, once they are published', () => {
    const { writer, reader } = setup();
    writer.scalars({ size: 3, queued: 5, completed: 2 ** 40 });
    writer.place(place(1, [TASK, OTHER]));
    expect(reader.read(0).places).toEqual([]);
    writer.publish();
    const figures = reader.read(0);
    expect(figures).toMatchObject({ size: 3, queued: 5, completed: 2 ** 40, running: 0 });
    expect(figures.places).toEqual([place(1, [TASK, OTHER])]);
  });

  it('should follow a worker whose tasks come and go, and forget one that has gone', () => {
    const { writer, reader } = setup();
    for (const taskIds of [[TASK], [TASK], [], [OTHER], [TASK]]) {
      writer.place(place(0, taskIds));
      writer.publish();
      expect(reader.read(0).places[0]?.taskIds).toEqual(taskIds);
    }
    writer.noPlace(0);
    writer.publish();
    expect(reader.read(0).places).toEqual([]);
    writer.place(place(0, [TASK]));
    writer.publish();
    expect(reader.read(0).places[0]?.taskIds).toEqual([TASK]);
  });

  it('should keep the newest samples', () => {
    const { writer, reader } = setup();
    for (let start = 1; start <= RECENT_SAMPLES + 10; start += 1) writer.started(start);
    const { starts } = reader.read(0);
    expect(starts.length).toBe(RECENT_SAMPLES);
    expect(Math.min(...starts)).toBe(11);
  });

  it('should count what was completed within 10 s, and no more', () => {
    const { writer, reader } = setup();
    writer.completed(5, 100_000);
    writer.completed(15, 104_000);
    writer.completed(10, 104_050);
    expect(reader.read(104_100).completedRecently).toBe(3);
    expect(reader.read(110_150).completedRecently).toBe(2);
    expect(reader.read(120_000).completedRecently).toBe(0);
    // The same bucket, a turn of the ring later.
    writer.completed(1, 104_000 + 10_100);
    expect(reader.read(114_150).completedRecently).toBe(1);
    expect([...reader.read(0).runs]).toEqual([5, 15, 10, 1]);
  });

  it('should be of one moment while another thread writes them', async () => {
    const { shared, writer, reader } = setup();
    writer.publish();
    const source = `
      const { workerData } = require('node:worker_threads');
      import(workerData.module).then(({ FiguresWriter }) => {
        const writer = new FiguresWriter(workerData.shared);
        for (let round = 1; round <= 200_000; round += 1) {
          writer.scalars({ queued: round, running: round, completed: round });
          writer.publish();
        }
      });`;
    const module = new URL('../../../dist/coordinator/pool/pool-figures.js', import.meta.url).href;
    const thread = new Worker(source, { eval: true, workerData: { shared, module } });
    const ended = once(thread, 'exit');
    let newest = 0;
    for (let looks = 0; newest < 200_000; looks += 1) {
      const { queued, running, completed } = reader.read(0);
      expect([running, completed]).toEqual([queued, queued]);
      expect(queued).toBeGreaterThanOrEqual(newest);
      newest = queued;
      if (looks % 1_000 === 0) await new Promise(setImmediate);
    }
    await ended;
  });

  it('should say which events are listened to, and which are outstanding', () => {
    const { writer, reader } = setup();
    reader.eventMask = 0b101;
    expect(writer.eventMask).toBe(0b101);
    reader.eventsHandled(3);
    expect(writer.eventsOutstanding(5)).toBe(2);
  });
});

describe('the view of the figures', () => {
  const scalars = {
    ...{ size: 2, queued: 0, running: 1, completed: 9, failed: 1, retried: 1, deadLettered: 0 },
    ...{ attemptsStarted: 10, attemptsReused: 8, givenUp: 0, zombieRecent: 0, storeRefusing: 0, minWorkers: 1 },
  };
  const samples = { starts: Float64Array.of(3, 1, 2), runs: Float64Array.of(10, 20), completedRecently: 25 };

  it('should count each worker once', () => {
    const states = ['ready', 'busy', 'busy', 'starting', 'draining', 'zombie'] as const;
    const places = states.map((state, index) => ({ ...place(index), state }));
    const { workers, performance, tasks } = poolMetrics({ ...scalars, ...samples, places });
    expect(workers).toEqual({ total: 6, ready: 1, busy: 2, starting: 1, draining: 1, zombie: 1 });
    expect(performance).toEqual({
      workerReuseRate: 0.8,
      avgTaskMs: 15,
      p50StartMs: 2,
      p99StartMs: 3,
      tasksPerSecond: 2.5,
    });
    expect(tasks).toEqual({ queued: 0, running: 1, completed: 9, failed: 1, retried: 1, deadLettered: 0 });
  });

  it('should be all zero before anything has run', () => {
    const none = { starts: new Float64Array(0), runs: new Float64Array(0), completedRecently: 0 };
    const figures = { ...scalars, ...none, attemptsStarted: 0, attemptsReused: 0, places: [place(0)] };
    expect(Object.values(poolMetrics(figures).performance)).toEqual([0, 0, 0, 0, 0]);
  });

  it.each([
    ['healthy', {}, [place(0)]],
    ['healthy', {}, [place(0, [TASK])]],
    ['unhealthy', {}, []],
    ['unhealthy', {}, [{ ...place(0), state: 'starting' as const }]],
    ['unhealthy', { storeRefusing: 1 }, [place(0)]],
    ['degraded', { minWorkers: 2 }, [place(0)]],
    ['degraded', { givenUp: 1 }, [place(0)]],
    ['degraded', { zombieRecent: 1 }, [place(0)]],
  ])('should call it %s with %o', (status, figures, places) => {
    const health = poolHealth({ ...scalars, ...figures, places });
    expect(health.status).toBe(status);
    expect(health.reasons.length).toBe(status === 'healthy' ? 0 : 1);
  });

  it('should show a worker as people know it', () => {
    expect(workerStatus(place(4, [TASK]), 'pool', 1_000)).toEqual({
      ...{ id: 'pool/4', pid: 104, state: 'busy', currentTasks: [TASK], tasksDone: 7, restarts: 1 },
      ...{ rss: 5_000, uptime: 750, lastHeartbeat: 9_000 },
    });
    const gone = { ...place(4), pid: undefined, state: 'starting' as const };
    expect(workerStatus(gone, 'pool', 1_000).uptime).toBe(0);
  });
});
