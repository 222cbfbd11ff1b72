/** The host program with a pool of piscina: threads. */
import { Piscina } from 'piscina';
import { servePeer } from '../serve-peer.js';
import { loadOperations } from './load.js';

let pool: Piscina;

function open({ workers }: { workers: number }): void {
  const filename = new URL('./handlers.js', import.meta.url).href;
  pool = new Piscina({ filename, minThreads: workers, maxThreads: workers });
}

servePeer({
  open,
  close: () => pool.destroy(),
  ...loadOperations(async (type, payload) => (await pool.run(payload, { name: type })) as unknown),
});
