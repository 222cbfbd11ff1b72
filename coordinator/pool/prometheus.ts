import { Gauge, type Registry } from 'prom-client';
import type { PoolFigures } from './pool-figures.js';
import { poolMetrics } from './pool-view.js';

const STATUSES = ['healthy', 'degraded', 'unhealthy'] as const;

/** What /metrics says of a pool beside its coordinator, read at each scrape. */
export function addPoolMetrics(registry: Registry, read: () => PoolFigures): void {
  const registers = [registry];
  const gauge = (name: string, help: string, value: (figures: PoolFigures) => number): void => {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(value(read()));
      },
    });
  };
  gauge('remuda_pool_size', 'Workers that there are to be.', ({ size }) => size);
  gauge('remuda_pool_given_up', 'Workers given up and not replaced since.', ({ givenUp }) => givenUp);
  const restarts = 'Restarts of the workers that there are, in all.';
  gauge('remuda_pool_restarts', restarts, ({ places }) => places.reduce((sum, place) => sum + place.restarts, 0));
  new Gauge({
    name: 'remuda_pool_workers',
    help: 'Workers by state.',
    labelNames: ['state'],
    registers,
    collect() {
      const { ready, busy, starting, draining, zombie } = poolMetrics(read()).workers;
      for (const [state, count] of Object.entries({ ready, busy, starting, draining, zombie }))
        this.set({ state }, count);
    },
  });
  new Gauge({
    name: 'remuda_pool_health',
    help: '1 for the status that the pool has, 0 for the others.',
    labelNames: ['status'],
    registers,
    collect() {
      const { health } = poolMetrics(read());
      for (const status of STATUSES) this.set({ status }, status === health.status ? 1 : 0);
    },
  });
}
