async function executeAnalysisTask({ source }) {
  if (source === undefined) throw new Error('there is no source to analyse');
  return { words: source.split(/\s+/).length };
}

module.exports = { executeAnalysisTask };
