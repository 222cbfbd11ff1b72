const { WorkerProcess } = require('remuda/worker');

if (require.main === module) {
  const workerId = process.env.WORKER_ID || 'unknown';
  const config = process.env.WORKER_CONFIG ? JSON.parse(process.env.WORKER_CONFIG) : {};
  const worker = new WorkerProcess(workerId, config);

  const { executeImplementationTask } = require('../task-handlers/implementation');
  const { executeAnalysisTask } = require('../task-handlers/analysis');
  const { executeTestTask } = require('../task-handlers/test');

  worker.registerTaskHandler('implementation', async (payload) => {
    return await executeImplementationTask(payload);
  });

  worker.registerTaskHandler('analysis', async (payload) => {
    return await executeAnalysisTask(payload);
  });

  worker.registerTaskHandler('test', async (payload) => {
    return await executeTestTask(payload);
  });

  worker.start();
}
