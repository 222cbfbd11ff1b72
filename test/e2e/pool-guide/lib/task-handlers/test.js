const { existsSync, watch } = require('node:fs');
const { dirname } = require('node:path');

/** Runs until the file of `until`, if there is one to be, is there. */
async function executeTestTask({ taskId, until }) {
  if (until !== undefined) await appears(until);
  return { taskId };
}

function appears(path) {
  return new Promise((resolve) => {
    const watcher = watch(dirname(path), look);
    look();

    function look() {
      if (!existsSync(path)) return;
      watcher.close();
      resolve();
    }
  });
}

module.exports = { executeTestTask };
