async function executeImplementationTask({ feature, requirements }) {
  return { feature, fulfilled: requirements, pid: process.pid };
}

module.exports = { executeImplementationTask };
