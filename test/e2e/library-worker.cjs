// A worker inside a CommonJS program, as a user would write it.
const { createWorker } = require('remuda/worker');

const worker = createWorker({ address: process.argv[2], slots: 2, workerId: 'cjs' });
worker.registerTaskHandler('cjs.double', async ({ n }) => n * 2);
worker.start().then(() => {
  process.once('SIGTERM', () => void worker.stop());
});
