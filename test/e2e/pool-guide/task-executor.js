const { createWorkerPool } = require('remuda/pool');

let pool;

async function initializePool() {
  if (!pool) {
    pool = await createWorkerPool({
      poolSize: 20,
      taskTimeout: 300000,
      autoRestart: true,
    });
  }
  return pool;
}

async function executeTask(taskType, taskData) {
  const pool = await initializePool();

  return await pool.submitTask({
    type: taskType,
    payload: taskData,
    priority: 10,
  });
}

async function shutdown() {
  if (pool) {
    await pool.shutdown(true);
  }
}

module.exports = { executeTask, shutdown, initializePool };
