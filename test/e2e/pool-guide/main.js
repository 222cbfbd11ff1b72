// A program of the pool's first users. What calls the pool stands here as they wrote it, un-awaited calls, milliseconds and all;
// test/e2e/pool-guide.test.ts only shortens periods. Around it is the least that makes it a program: routes that call it.
const express = require('express');
const { createWorkerPool } = require('remuda/pool');

const app = express();
app.use(express.json());
let server;
let scaling;

async function initializeCortex() {
  console.log('Initializing worker pool...');
  global.cortexWorkerPool = await createWorkerPool({
    poolSize: 20,
    minWorkers: 5,
    maxWorkers: 50,
    heartbeatInterval: 5000,
    taskTimeout: 300000,
    loadBalancing: 'least-loaded',
    autoRestart: true,
    maxRestartAttempts: 3,
  });

  console.log('Worker pool initialized with', global.cortexWorkerPool.getPoolMetrics().pool.size, 'workers');

  addEventListeners();
  server = app.listen(0, '127.0.0.1', () => console.log('Listening on', server.address().port));
}

async function handleUserRequest(request) {
  return await global.cortexWorkerPool.submitTask({
    type: request.type,
    payload: request.data,
    priority: request.priority || 10,
    timeout: request.timeout || 300000,
  });
}

app.post('/requests', async (req, res) => {
  try {
    res.json(await handleUserRequest(req.body));
  } catch (error) {
    res.status(500).json({ reason: error.reason, message: error.message });
  }
});

function collectMetrics() {
  const poolMetrics = global.cortexWorkerPool.getPoolMetrics();

  return {
    workerPool: {
      size: poolMetrics.workers.total,
      healthy: poolMetrics.workers.ready,
      busy: poolMetrics.workers.busy,
      tasksQueued: poolMetrics.tasks.queued,
      tasksCompleted: poolMetrics.tasks.completed,
      workerReuseRate: poolMetrics.performance.workerReuseRate,
      healthStatus: poolMetrics.health.status,
    },
  };
}

app.get('/metrics', (req, res) => {
  res.json(collectMetrics());
});

app.get('/metrics/worker-pool', (req, res) => {
  res.json(global.cortexWorkerPool.getPoolMetrics());
});

app.get('/workers', (req, res) => {
  res.json(global.cortexWorkerPool.getAllWorkersStatus());
});

function addEventListeners() {
  global.cortexWorkerPool.on('zombie-detected', ({ workerId }) => {
    console.warn(`[WorkerPool] Zombie worker detected: ${workerId}`);
  });

  global.cortexWorkerPool.on('worker-error', ({ workerId, error }) => {
    console.error(`[WorkerPool] Worker error in ${workerId}:`, error);
  });

  global.cortexWorkerPool.on('task-failed', ({ taskId, error, retried }) => {
    console.error(`[WorkerPool] Task ${taskId} failed:`, error);
    if (!retried) {
      console.error(`[WorkerPool] Task ${taskId} moved to DLQ`);
    }
  });

  global.cortexWorkerPool.on('pool-scaled-up', ({ count, newSize }) => {
    console.log(`[WorkerPool] Scaled up by ${count} workers to ${newSize}`);
  });
}

function scaleWithTheQueue() {
  scaling = setInterval(() => {
    const metrics = global.cortexWorkerPool.getPoolMetrics();

    if (metrics.tasks.queued > 50 && metrics.workers.total < 50) {
      console.log('Queue backing up, scaling up pool...');
      global.cortexWorkerPool.scaleUp(10);
    }

    if (metrics.tasks.queued === 0 && metrics.workers.busy < 5 && metrics.workers.total > 10) {
      console.log('Pool mostly idle, scaling down...');
      global.cortexWorkerPool.scaleDown(5);
    }
  }, 30000);
}

app.post('/scaling', (req, res) => {
  scaleWithTheQueue();
  res.end();
});

async function testTheIntegration() {
  const result = await global.cortexWorkerPool.submitTask({
    type: 'implementation',
    payload: {
      feature: 'test-feature',
      requirements: ['test-req'],
    },
  });
  console.log('Test result:', result);

  for (let i = 0; i < 100; i++) {
    await global.cortexWorkerPool.submitTask({
      type: 'test',
      payload: { taskId: i },
    });
  }

  const metrics = global.cortexWorkerPool.getPoolMetrics();
  console.log('Worker reuse rate:', metrics.performance.workerReuseRate);
}

app.post('/test', async (req, res) => {
  await testTheIntegration();
  res.end();
});

async function shutdownCortex() {
  console.log('Shutting down Cortex...');
  clearInterval(scaling);
  server.close();

  if (global.cortexWorkerPool) {
    console.log('Shutting down worker pool...');
    await global.cortexWorkerPool.shutdown(true);
    console.log('Worker pool shut down');
  }
}

process.on('SIGTERM', shutdownCortex);
process.on('SIGINT', shutdownCortex);

initializeCortex();
